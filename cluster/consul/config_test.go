package consul

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/holdfast-run/holdfast/messages"
)

func TestValidate(t *testing.T) {
	t.Parallel()
	good := func() Config { return Config{Self: self, Announcement: announced()} }
	many := map[string]string{}
	for i := range mostMeta + 1 {
		many[fmt.Sprint(i)] = ""
	}
	tests := map[string]struct {
		change func(*Config)
		want   []string
	}{
		"defaults": {func(*Config) {}, nil},
		"all is set": {func(c *Config) {
			c.Addresses = []string{"consul.example:8500", "https://[::1]:8501"}
			c.TLS.ServerName, c.TokenFile = "server.dc1.consul", writeFile(t, "secret")
			c.TTL, c.Self, c.Tags, c.Meta = mostTTL, messages.NewIncarnation("[::1]:7071"), []string{"a"}, map[string]string{"a_b-C": ""}
		}, nil},
		"nothing is right": {func(c *Config) {
			*c = Config{
				Addresses: []string{
					"consul", "ftp://consul:21", "http://user:secret@consul:8500", "http://consul:8500/x", "http://\x7fsecret", "http://a:1",
				},
				TLS: TLS{CA: "/nowhere", Cert: "/nowhere"}, Token: "secret", TokenFile: "/nowhere", Service: "a.b", TTL: leastTTL - 1,
				Self: "no id", Tags: []string{""}, Meta: map[string]string{"level": "", "a b": "", "long": strings.Repeat("x", 513)},
				Announcement: Announcement{Remoting: "host", Public: "host:0", Adapters: ":1", Shards: []int{1, 1}, Version: strings.Repeat("x", 513)},
			}
		}, []string{
			`"consul"`, `"ftp://consul:21"`, "must not have a user", `"http://consul:8500/x"`, "one that can't be read",
			`"http://a:1", and TLS is set`, "both Token and TokenFile", "TokenFile: open /nowhere", "consul: TLS", "Service", "TTL", "Self", "Tags",
			`the key "level", which is the node's own`, `the key "a b"`, `513 bytes for "long"`, "Remoting", "Public", "Adapters", "Shards", "Version",
		}},
		"too much meta":       {func(c *Config) { c.Meta = many }, []string{"Meta has 49 pairs"}},
		"a shard too high":    {func(c *Config) { c.Announcement.Shards = []int{256} }, []string{"Shards"}},
		"an empty token file": {func(c *Config) { c.TokenFile = writeFile(t, " ") }, []string{"is empty"}},
		"a TTL too long":      {func(c *Config) { c.TTL = mostTTL + 1 }, []string{"TTL"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := good()
			tt.change(&c)
			err := c.Validate()
			if (err == nil) != (tt.want == nil) {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("not told: %s\n%v", want, err)
				}
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("tells a secret: %v", err)
			}
			m, joined := Join(c)
			if joined == nil {
				m.Close()
			}
			if (joined == nil) != (err == nil) {
				t.Errorf("joining: %v", joined)
			}
		})
	}
}

func TestTokenIsSecret(t *testing.T) {
	t.Parallel()
	c := Config{Token: "secret"}
	encoded, err := json.Marshal(map[string]any{"token": c.Token})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("", "token", c.Token, "config", c)
	text := fmt.Sprintf("%v %+v %#v %s %q %x %s %s", c, c, c.Token, c.Token, c.Token, c.Token, encoded, log.String())
	if strings.Contains(text, "secret") || strings.Contains(text, fmt.Sprintf("%x", "secret")) {
		t.Error(text)
	}
}

func TestInstances(t *testing.T) {
	t.Parallel()
	entry := func(agent, id string, checks ...*api.HealthCheck) *api.ServiceEntry {
		return &api.ServiceEntry{Node: &api.Node{Node: agent}, Service: &api.AgentService{ID: id}, Checks: checks}
	}
	check := func(id, status, output string) *api.HealthCheck {
		return &api.HealthCheck{CheckID: id, Status: status, Output: output}
	}
	renewed := check("ttl:a/1", "passing", "")
	tests := map[string]struct {
		entries []*api.ServiceEntry
		want    string
	}{
		"none":                  {nil, ""},
		"passing":               {[]*api.ServiceEntry{entry("x", "a/1", renewed)}, "a/1 x passing"},
		"its host fails":        {[]*api.ServiceEntry{entry("x", "a/1", renewed, check("serfHealth", "critical", ""))}, "a/1 x critical"},
		"warning":               {[]*api.ServiceEntry{entry("x", "a/1", renewed, check("disk", "warning", ""))}, "a/1 x warning"},
		"host in maintenance":   {[]*api.ServiceEntry{entry("x", "a/1", renewed, check("_node_maintenance", "passing", ""))}, "a/1 x critical"},
		"service maintained":    {[]*api.ServiceEntry{entry("x", "a/1", renewed, check("_service_maintenance:a/1", "passing", ""))}, "a/1 x critical"},
		"unheard-of state":      {[]*api.ServiceEntry{entry("x", "a/1", check("ttl:a/1", "odd", ""))}, "a/1 x critical"},
		"no checks":             {[]*api.ServiceEntry{entry("x", "a/1")}, "a/1 x warning"},
		"another's check":       {[]*api.ServiceEntry{entry("x", "a/1", check("ttl:a/2", "passing", ""))}, "a/1 x warning"},
		"leaving":               {[]*api.ServiceEntry{entry("x", "a/1", check("ttl:a/1", "critical", "leaving"))}, "a/1 x critical leaving"},
		"has not left":          {[]*api.ServiceEntry{entry("x", "a/1", check("ttl:a/1", "passing", "leaving"))}, "a/1 x passing"},
		"foreign":               {[]*api.ServiceEntry{entry("x", "web"), {Node: &api.Node{}}, {Service: &api.AgentService{ID: "a/1"}}}, ""},
		"two, the second is up": {[]*api.ServiceEntry{entry("x", "a/1", check("ttl:a/1", "critical", "")), entry("y", "a/1", renewed)}, "a/1 y passing"},
		"two, the first is up":  {[]*api.ServiceEntry{entry("y", "a/1", renewed), entry("x", "a/1", check("ttl:a/1", "critical", ""))}, "a/1 y passing"},
		"in order":              {[]*api.ServiceEntry{entry("x", "b/1"), entry("x", "a/1", renewed)}, "a/1 x passing; b/1 x warning"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, in := range merge(instancesOf(tt.entries)) {
				text := fmt.Sprintf("%s %s %v", in.Incarnation, in.Agent, in.State)
				if in.Leaving {
					text += " leaving"
				}
				got = append(got, text)
			}
			if got := strings.Join(got, "; "); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// FuzzAnnouncement reads whatever stands in metadata; what it has read, it writes so that the same is read again.
func FuzzAnnouncement(f *testing.F) {
	f.Add("n1:7071", "3", "100", "8000000000000000000000000000000000000000000000000000000000000003")
	f.Add("", "-1", "1e3", "-ff")
	f.Add("", "99999999999", "0x1", strings.Repeat("f", 65))
	f.Fuzz(func(t *testing.T, remoting, level, weight, shards string) {
		got := announcementOf(map[string]string{"remoting": remoting, "level": level, "weight": weight, "shards": shards})
		if len(got.Shards) > messages.Partitions {
			t.Errorf("%d shards", len(got.Shards))
		}
		if again := announcementOf(got.meta()); !reflect.DeepEqual(again, got) {
			t.Errorf("%+v becomes %+v", got, again)
		}
	})
}

func TestAnnouncementFits(t *testing.T) {
	t.Parallel()
	all := announced()
	all.Shards = nil
	for shard := range messages.Partitions {
		all.Shards = append(all.Shards, shard)
	}
	meta := all.meta()
	if len(meta) != len(announcedKeys) || len(meta)+mostMeta > 64 || len(meta["shards"]) > mostMetaValue {
		t.Errorf("meta is %v", meta)
	}
	for _, key := range announcedKeys {
		if _, ok := meta[key]; !ok {
			t.Errorf("%s is missing", key)
		}
	}
	if got := announcementOf(meta); !reflect.DeepEqual(got, all) {
		t.Errorf("%+v becomes %+v", all, got)
	}
}

// TestTLS has agents that ask for a certificate, and are known by one that is signed by no authority of the host.
func TestTLS(t *testing.T) {
	t.Parallel()
	asked := make(chan *http.Request, 100)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r:
		default:
		}
		answer(w, 1, []any{})
	}))
	server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	dir := t.TempDir()
	ca := filepath.Join(dir, "ca")
	writePEM(t, ca, "CERTIFICATE", server.Certificate().Raw)
	cert, key := certificate(t, dir)
	for name, tt := range map[string]struct {
		tls TLS
		ok  bool
	}{
		"as it should be": {TLS{CA: ca, Cert: cert, Key: key, ServerName: "example.com"}, true},
		"another name":    {TLS{CA: ca, Cert: cert, Key: key, ServerName: "example.org"}, false},
		"no certificate":  {TLS{CA: ca, ServerName: "example.com"}, false},
		"no authority":    {TLS{Cert: cert, Key: key, ServerName: "example.com"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failures := make(chan error, 1)
			m, err := Join(Config{
				Addresses: []string{strings.TrimPrefix(server.URL, "https://")}, TLS: tt.tls, Self: self, Announcement: announced(), TTL: 30 * time.Second,
				Logger: slog.New(slog.DiscardHandler), Observe: func(o Observation) {
					select {
					case failures <- o.Failure:
					default:
					}
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			if failure := <-failures; (failure == nil) != tt.ok {
				t.Fatal(failure)
			}
			if !tt.ok {
				return
			}
			if r := <-asked; r.TLS.PeerCertificates[0].Subject.CommonName != "n1" {
				t.Errorf("the node showed %v", r.TLS.PeerCertificates[0].Subject)
			}
		})
	}
}

// certificate makes the files of a certificate that signs itself, and of its key.
func certificate(t *testing.T, dir string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	template.Subject.CommonName = "n1"
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	writePEM(t, cert, "CERTIFICATE", signed)
	writePEM(t, key, "PRIVATE KEY", secret)
	return cert, key
}

func writePEM(t *testing.T, name, kind string, data []byte) {
	t.Helper()
	write(t, name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: data}))
}
