package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1"      // which describes what is called
	_ "google.golang.org/grpc/reflection/grpc_reflection_v1alpha" // the same
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/holdfast-run/holdfast/messages/auditv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
	"github.com/holdfast-run/holdfast/scenarios/stage"
)

// foreignDials is how often somebody connects with a certificate of another authority, at each listener.
const foreignDials = 20

// judgedRoles calls a node as everybody.
type judgedRoles struct {
	*roleCast

	s                 *site
	f                 figures
	node              *stage.Node
	public, admin     map[*tls.Certificate]*grpc.ClientConn // by what they show
	served            map[string]bool
	refused, unlisted int
}

// rolesRow calls every method of every service, and every page, as everybody: with each role, by each way to be known, in its own namespace
// and in another one; and as those who are not known. Whoever was refused is looked for in the audit then, by another life of the node.
func rolesRow(ctx context.Context, s *site) (figures, error) {
	j := &judgedRoles{
		s: s, f: figures{"calls": 0, "wrong": 0, "unserved": 0, "connections": 0, "adapters_refused": 0}, served: map[string]bool{},
		public: map[*tls.Certificate]*grpc.ClientConn{}, admin: map[*tls.Certificate]*grpc.ClientConn{},
	}
	var err error
	j.roleCast, err = castRoles(ctx, s.dir, !s.ci())
	if err != nil {
		return j.f, err
	}
	defer j.end()
	if err := j.live(ctx, j.callAll); err != nil {
		return j.f, why(ctx, err)
	}
	if err := j.live(ctx, j.lookUp); err != nil {
		return j.f, why(ctx, err)
	}
	return j.f, nil
}

// live runs a node, and does something with it.
func (j *judgedRoles) live(ctx context.Context, do func(context.Context) error) error {
	ctx, st := stage.New(ctx, j.s.dir)
	defer st.Stop()
	var err error
	j.node, err = st.StartSecureNode(ctx, j.signer, j.s.holdfast, false, "--access", j.accessFile(),
		"--tls-client-ca", j.signer.CA(), "--admin-tls-client-ca", j.signer.CA())
	if err == nil {
		err = j.node.Ready(ctx)
	}
	if err != nil {
		return err
	}
	return do(ctx)
}

func (j *judgedRoles) tls(certificate *tls.Certificate) *tls.Config {
	c := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: j.signer.Roots()}
	if certificate != nil {
		c.Certificates = []tls.Certificate{*certificate}
	}
	return c
}

// page asks for a page of the administration as somebody.
func (j *judgedRoles) page(ctx context.Context, c *roleCaller, path string) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+j.node.Admin+path, http.NoBody)
	if err != nil {
		return 0, fmt.Errorf("make request: %w", err)
	}
	if c.token != "" {
		q.Header.Set("Authorization", "Bearer "+c.token)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: j.tls(c.certificate), DisableKeepAlives: true}}
	r, err := client.Do(q)
	if err != nil {
		return 0, err //nolint:wrapcheck // it names the address
	}
	defer r.Body.Close() //nolint:errcheck // it was read
	_, err = io.Copy(io.Discard, r.Body)
	return r.StatusCode, err //nolint:wrapcheck // as above
}

// callAll calls everything as everybody.
func (j *judgedRoles) callAll(ctx context.Context) error {
	defer func() {
		for _, all := range []map[*tls.Certificate]*grpc.ClientConn{j.public, j.admin} {
			for _, conn := range all {
				_ = conn.Close() // it fails only if it was closed before
			}
		}
	}()
	for _, c := range append(slices.Clone(j.callers), j.root) {
		for at, all := range map[string]map[*tls.Certificate]*grpc.ClientConn{j.node.Server: j.public, j.node.Admin: j.admin} {
			if all[c.certificate] != nil {
				continue
			}
			conn, err := grpc.NewClient(at, grpc.WithTransportCredentials(credentials.NewTLS(j.tls(c.certificate))), grpc.WithDisableRetry())
			if err != nil {
				return fmt.Errorf("connect: %w", err)
			}
			all[c.certificate] = conn
		}
	}
	if err := j.prepare(ctx); err != nil {
		return err
	}
	methods := j.methods()
	j.f["methods"], j.f["pages"], j.f["callers"], j.f["unlisted"] = len(methods), len(maySee), len(j.callers), j.unlisted
	for _, method := range methods {
		for _, c := range j.callers {
			for _, namespace := range roleNamespaces() {
				if err := j.judge(ctx, method, c, namespace); err != nil {
					return err
				}
			}
		}
		if !j.served[method] {
			j.s.sayf("roles: %s is served nowhere", method)
			j.f.add("unserved", 1)
		}
	}
	if err := j.judgePages(ctx); err != nil {
		return err
	}
	return j.connectForeign(ctx)
}

// methods are all of a node, by what describes its services. What the table has nothing of is counted as unlisted.
func (j *judgedRoles) methods() []string {
	found := map[string]bool{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			name := string(service.FullName())
			if strings.HasPrefix(name, "holdfast.node.") || !strings.HasPrefix(name, "holdfast.") && !strings.HasPrefix(name, "grpc.health.") {
				continue // those of nodes among each other are served to none else
			}
			for k := range service.Methods().Len() {
				method := name + "/" + string(service.Methods().Get(k).Name())
				if _, listed := mayCall[method]; !listed {
					j.s.sayf("roles: nothing says who may call %s", method)
					j.unlisted++
				}
				found[method] = true
			}
		}
		return true
	})
	for method := range mayCall {
		found[method] = true // reflection, too
	}
	return slices.Sorted(maps.Keys(found))
}

// prepare deploys a definition in each namespace, and submits orders of it: one with a key, and one that is cancelled.
func (j *judgedRoles) prepare(ctx context.Context) error {
	for _, namespace := range roleNamespaces() {
		requests := []*orderv1.WorkOrder{
			{Id: "order-" + namespace, Definition: namespace + "/w:1.0.0", OrderKey: "key-" + namespace},
			{Id: "cancelled-" + namespace, Definition: namespace + "/w:1.0.0"},
		}
		deploy := "holdfast.definition.v1.DefinitionService/Deploy"
		if err := j.call(ctx, j.public[nil], deploy, rolesRequest(deploy, namespace), j.root); err != nil {
			return fmt.Errorf("deploy: %w", err)
		}
		for _, o := range requests {
			err := j.call(ctx, j.public[nil], "holdfast.order.v1.OrderService/Submit", &orderv1.SubmitRequest{Order: o}, j.root)
			if err != nil {
				return fmt.Errorf("submit: %w", err)
			}
		}
	}
	return nil
}

// call calls a method, and returns what the node says of it at first.
func (*judgedRoles) call(
	ctx context.Context, conn *grpc.ClientConn, method string, request proto.Message, c *roleCaller,
) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if c.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	service, name, _ := strings.Cut(method, "/")
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(service))
	if err != nil {
		return fmt.Errorf("describe %s: %w", method, err)
	}
	described, _ := d.(protoreflect.ServiceDescriptor) // which it is
	in, out := described.Methods().ByName(protoreflect.Name(name)).Input(), described.Methods().ByName(protoreflect.Name(name)).Output()
	types := protoregistry.GlobalTypes
	t, err := types.FindMessageByName(out.FullName())
	if err == nil && request == nil {
		var empty protoreflect.MessageType
		if empty, err = types.FindMessageByName(in.FullName()); err == nil {
			request = empty.New().Interface()
		}
	}
	if err != nil {
		return fmt.Errorf("describe %s: %w", method, err)
	}
	st, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+method, grpc.WaitForReady(true))
	if err == nil {
		err = st.SendMsg(request)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return err //nolint:wrapcheck // its code counts
	}
	_ = st.CloseSend() // it never fails
	answer := t.New().Interface()
	if err := st.RecvMsg(answer); err != nil {
		return err //nolint:wrapcheck // its code counts
	}
	if s, ok := answer.(*orderv1.SubmitStreamResponse); ok { // each submission has an answer of its own
		r := s.GetSubmissions()[0].GetRefused()
		return status.Error(codes.Code(uint32(r.GetCode())), r.GetMessage()) //nolint:gosec // it was one
	}
	return nil
}

// judge calls a method at both listeners, and holds what comes of it against the table.
func (j *judgedRoles) judge(ctx context.Context, method string, c *roleCaller, namespace string) error {
	want := mayCall[method].allows(c, namespace)
	for _, conn := range []*grpc.ClientConn{j.public[c.certificate], j.admin[c.certificate]} {
		err := j.call(ctx, conn, method, rolesRequest(method, namespace), c)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		code := status.Code(err)
		if code == codes.Unimplemented && (strings.Contains(err.Error(), "unknown service") || strings.Contains(err.Error(), "unknown method")) {
			continue
		}
		j.served[method] = true
		j.f.add("calls", 1)
		refused := code == codes.PermissionDenied || code == codes.Unauthenticated
		if refused {
			j.refused++
			if c.role == roleAdapter && strings.HasSuffix(method, "/Connect") {
				j.f.add("adapters_refused", 1)
			}
		}
		elsewhere := code == codes.FailedPrecondition && strings.Contains(err.Error(), "public address") // where orders are not submitted
		wrong := refused == want || code == codes.DeadlineExceeded || code == codes.Unavailable ||
			refused && (code == codes.Unauthenticated) != (c.role == "")
		if wrong && !elsewhere {
			j.s.sayf("roles: %s calls %s in %s, allowed: %v, and is told: %v", c.name, method, namespace, want, err)
			j.f.add("wrong", 1)
		}
	}
	return nil
}

// judgePages does the same with the pages of the administration.
func (j *judgedRoles) judgePages(ctx context.Context) error {
	for path, m := range maySee {
		for _, c := range j.callers {
			code, err := j.page(ctx, c, path)
			if err != nil {
				return err
			}
			refused := code == http.StatusUnauthorized || code == http.StatusForbidden
			if refused {
				j.refused++
			}
			j.f.add("calls", 1)
			if refused == m.allows(c, ownNamespace) || refused && (code == http.StatusUnauthorized) != (c.role == "") || code >= 500 {
				j.s.sayf("roles: %s asks for %s: %d", c.name, path, code)
				j.f.add("wrong", 1)
			}
		}
	}
	return nil
}

// connectForeign connects with a certificate of another authority, which no listener takes.
func (j *judgedRoles) connectForeign(ctx context.Context) error {
	for _, address := range []string{j.node.Server, j.node.Admin} {
		for range foreignDials {
			conn, err := (&tls.Dialer{Config: j.tls(j.foreign)}).DialContext(ctx, "tcp", address)
			if err == nil {
				_, err = conn.Read(make([]byte, 1)) // a client is told that it is refused when its own part is done
				_ = conn.Close()
			}
			if err == nil || !strings.Contains(err.Error(), "unknown certificate authority") {
				j.s.sayf("roles: a certificate of another authority: %v", err)
				j.f.add("wrong", 1)
			}
			j.f.add("connections", 1)
		}
	}
	return nil
}

// lookUp looks for all that were refused in the audit.
func (j *judgedRoles) lookUp(ctx context.Context) error {
	export, err := j.s.command(ctx, j.s.dir, append(j.s.env, "HOLDFAST_TOKEN="+j.root.token), j.s.holdfast, "audit", "export",
		"--admin", j.node.Admin, "--admin-ca", j.signer.CA())
	if err != nil {
		return err
	}
	audited, named := 0, map[string]bool{}
	for line := range bytes.Lines(export) {
		var stored struct {
			Entry []byte `json:"entry"`
		}
		entry := new(auditv1.Entry)
		err := json.Unmarshal(line, &stored)
		if err == nil && len(stored.Entry) > sha256.Size {
			err = proto.Unmarshal(stored.Entry[sha256.Size:], entry)
		}
		if err != nil {
			return fmt.Errorf("read the audit: %w", err)
		}
		if r := entry.GetRefused(); r != nil {
			audited += int(r.GetCount()) //nolint:gosec // as many as there were calls
			named[r.GetCaller().GetName()] = true
		}
		// A deployment is noted when it begins, as what may be deployed is known when it was read.
		if e := entry.GetEnded(); e.GetCode() == int32(codes.PermissionDenied) {
			audited++
		}
	}
	connections, _ := j.f.number("connections")
	j.f["refused"], j.f["audited"], j.f["callers_named"] = j.refused, audited-int(connections), len(named)
	j.f["unaudited"] = max(j.refused+int(connections)-audited, audited-j.refused-int(connections))
	return nil
}

func rolesBars(s *site) bars {
	refused := 3000.0
	if s.ci() {
		refused = 2000
	}
	return bars{
		"methods": atLeast(43), "pages": atLeast(6), "refused": atLeast(refused), "connections": atLeast(2 * foreignDials),
		"adapters_refused": atLeast(3), "callers_named": atLeast(4),
	}.none("wrong", "unlisted", "unserved", "unaudited")
}
