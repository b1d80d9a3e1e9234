package tokens

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
)

// ErrPlaintext says that a token was not sent.
var ErrPlaintext = errors.New("the token was not sent: the connection is in plain text, and the node on another machine")

// ErrExpired says that somebody who has logged in has to do so again.
var ErrExpired = errors.New("the login has expired")

// poll is how often a file with a token is looked at, at most.
const poll = 5 * time.Second

// Sender sends a token with each call. It implements credentials.PerRPCCredentials.
type Sender struct {
	// Token is what is sent.
	Token string
	// File has it, in place of Token. It is read again when it has changed.
	File string
	// Source gives it, in place of both, each time that it is needed: of somebody who has logged in.
	Source func(context.Context) (string, error)
	// Anyway has the token be sent in plain text to other machines too, where everybody on the way can read and use it: something else
	// secures the way.
	Anyway bool

	mu     sync.Mutex
	read   string    // from File
	stamp  time.Time // when that was written
	looked time.Time // when File was looked at last
}

// Validate says everything that is wrong with the settings.
func (s *Sender) Validate() error {
	if s.Token != "" && s.File != "" || s.Source != nil && s.Token+s.File != "" {
		return errors.New("a token, and a file with one or a login, are given, and only one can be sent")
	}
	if strings.ContainsAny(s.Token, " \t\r\n") || len(s.Token) > maxToken {
		return fmt.Errorf("the token has a space in it, or more than %d bytes", maxToken)
	}
	if s.File != "" {
		_, err := s.fromFile()
		return err
	}
	return nil
}

// token returns what is to be sent now.
func (s *Sender) token(ctx context.Context) (string, error) {
	if s.Source != nil {
		return s.Source(ctx)
	}
	if s.File == "" {
		return s.Token, nil
	}
	return s.fromFile()
}

// fromFile returns the token that the file has now.
func (s *Sender) fromFile() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if s.read != "" && now.Sub(s.looked) < poll {
		return s.read, nil
	}
	info, err := os.Stat(s.File)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	s.looked = now
	if s.read != "" && info.ModTime().Equal(s.stamp) {
		return s.read, nil
	}
	text, err := os.ReadFile(s.File)
	if err != nil {
		return "", fmt.Errorf("read the token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || len(token) > maxToken || strings.ContainsAny(token, " \t\r\n") {
		return "", fmt.Errorf("read the token: %s has none", s.File)
	}
	s.read, s.stamp = token, info.ModTime()
	return token, nil
}

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (s *Sender) GetRequestMetadata(ctx context.Context, _ ...string) (map[string]string, error) {
	if info, known := credentials.RequestInfoFromContext(ctx); !s.Anyway && (!known || !private(info.AuthInfo)) {
		return nil, status.Error(codes.Unauthenticated, ErrPlaintext.Error())
	}
	token, err := s.token(ctx)
	if err != nil {
		return nil, status.Error(codes.Unauthenticated, err.Error())
	}
	return map[string]string{Metadata: Scheme + token}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials: GetRequestMetadata looks at the connection itself, as one that stays
// on this machine needs none.
func (*Sender) RequireTransportSecurity() bool { return false }

// private tells whether nobody else reads what goes over a connection.
func private(info credentials.AuthInfo) bool {
	if here, ok := info.(interface{ StaysHere() bool }); ok {
		return here.StaysHere()
	}
	_, secured := info.(credentials.TLSInfo)
	return secured
}
