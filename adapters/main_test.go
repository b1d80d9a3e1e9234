package adapters_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/holdfast-run/holdfast/adapters"
	"github.com/holdfast-run/holdfast/adapters/adaptertest"
	"github.com/holdfast-run/holdfast/adapters/bench"
)

// adapterChild is the environment variable that makes the test binary an adapter: that of the benchmarks, or remembering.
const adapterChild = "HOLDFAST_TEST_ADAPTER"

func TestMain(m *testing.M) {
	switch os.Getenv(adapterChild) {
	case "":
	case "remembering":
		adapters.Main(newRemembering())
	default:
		adapters.Main(bench.New())
	}
	goleak.VerifyTestMain(m)
}

// adapterProcess is the command that runs the test binary as an adapter.
func adapterProcess(tb testing.TB, args ...string) *exec.Cmd {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), adapterChild+"=1")
	return cmd
}

func TestAProcessDrainsWhenItIsTerminated(t *testing.T) {
	t.Parallel()
	node := adaptertest.Start(t, adaptertest.Options{HoldAcks: true})
	var stderr bytes.Buffer
	cmd := adapterProcess(t)
	cmd.Env = append(cmd.Env, adapters.ServerEnv+"="+node.Addr())
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := node.Do(within(t), "echo", "x")
	if string(r.GetOutput()) != `"x"` {
		t.Errorf("%v", r)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	node.AwaitDrain(within(t))
	node.Ack(r) // what it waits for
	if err := cmd.Wait(); err != nil || !strings.Contains(stderr.String(), "drained") {
		t.Errorf("%v: %s", err, stderr.String())
	}
}

// Whoever reads the log may leave, or read no more: the adapter neither ends nor waits.
func TestALogThatNobodyReads(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(r, w *os.File) error{
		"left": func(r, _ *os.File) error { return r.Close() },
		"blocked": func(_, w *os.File) error {
			err := w.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			for full := err != nil; !full; {
				_, failed := w.Write(make([]byte, 1024))
				full = failed != nil
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, w, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				_ = r.Close()
				_ = w.Close()
			})
			if err := spoil(r, w); err != nil {
				t.Fatal(err)
			}
			node := adaptertest.Start(t)
			cmd := adapterProcess(t, "-server", node.Addr())
			cmd.Stderr = w
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			if r := node.Do(within(t), "echo", "x"); string(r.GetOutput()) != `"x"` {
				t.Errorf("%v", r)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			tooLong := time.AfterFunc(30*time.Second, func() { _ = cmd.Process.Kill() })
			defer tooLong.Stop()
			if err := cmd.Wait(); err != nil {
				t.Errorf("it has ended with: %v", err)
			}
		})
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]int{
		"-help":                     0,
		"-server nowhere":           2,
		"-name a.b -server local:1": 1,
		"-ca /does/not/exist":       1,
	} {
		cmd := adapterProcess(t, strings.Fields(args)...)
		out, _ := cmd.CombinedOutput() // the exit code is what counts
		if got := cmd.ProcessState.ExitCode(); got != want || len(out) == 0 {
			t.Errorf("%s: exit code %d, want %d: %s", args, got, want, out)
		}
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	files := newCertificate(t)
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(readFile(t, files.CA))
	node := adaptertest.Start(t, adaptertest.Options{ServerOptions: []grpc.ServerOption{grpc.Creds(credentials.NewTLS(&tls.Config{
		Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	}))}})
	c := config(t)
	c.TLS = &files
	node.Run(newEcho(), c)
	if r := node.Do(within(t), "work", "x"); r.GetOutcome() != succeeded {
		t.Errorf("%v", r)
	}
	for want, files := range map[string]adapters.TLS{
		"read the CA":             {CA: files.CA + "none"},
		"no certificate in PEM":   {CA: files.Key},
		"both, or none":           {Cert: files.Cert},
		"the adapter's certific":  {Cert: files.Cert, Key: files.Cert},
		"the adapter's certifica": {Cert: files.Cert + "none", Key: files.Key},
	} {
		if err := newEcho().Run(t.Context(), adapters.Config{TLS: &files}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", files, err, want)
		}
	}
}

// newCertificate makes a certificate for 127.0.0.1 that signs itself.
func newCertificate(t *testing.T) adapters.TLS {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := write("cert.pem", "CERTIFICATE", cert)
	return adapters.TLS{CA: path, Cert: path, Key: write("key.pem", "PRIVATE KEY", private)}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
