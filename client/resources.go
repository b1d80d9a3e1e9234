package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
)

// Fetch gets what an address leads to, such as a document of OpenAPI that a definition refers to.
type Fetch func(ctx context.Context, address string) ([]byte, error)

// maxResource is the most that is fetched from one address, in bytes: a definition has no more, with all that it refers to.
const maxResource = 1 << 20

// FetchBy fetches by HTTP, and reads files of addresses such as file:///home/me/openapi.yaml.
func FetchBy(by *http.Client) Fetch {
	return func(ctx context.Context, address string) ([]byte, error) {
		u, err := url.Parse(address)
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		if u.Scheme == "file" {
			f, err := os.Open(u.Path)
			if err != nil {
				return nil, err
			}
			defer func() { _ = f.Close() }() // it was read only
			return atMost(f, address)
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		res, err := by.Do(req)
		if err != nil {
			return nil, fmt.Errorf("fetch: %w", err)
		}
		defer func() { _ = res.Body.Close() }() // what matters of it has been read
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("fetch %s: %s", address, res.Status)
		}
		return atMost(res.Body, address)
	}
}

func atMost(r io.Reader, address string) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxResource+1))
	if err == nil && len(text) > maxResource {
		err = fmt.Errorf("it has more than %d bytes", maxResource)
	}
	if err != nil {
		return nil, fmt.Errorf("fetch %s: %w", address, err)
	}
	return text, nil
}

// Complete adds to a document of a definition what it refers to, as long as the mistakes that check finds say that something is missing.
func Complete(
	ctx context.Context, document []byte, fetch Fetch, check func(ctx context.Context, document []byte) ([]*definitionv1.Mistake, error),
) ([]byte, error) {
	fetched := make(map[string][]byte)
	for {
		mistakes, err := check(ctx, document)
		if err != nil {
			return nil, err
		}
		missing := missingIn(mistakes)
		if len(missing) == 0 {
			return document, nil
		}
		for _, address := range missing {
			if fetched[address] != nil {
				return nil, fmt.Errorf("%s was added, and is still missing: the node is of another version", address)
			}
			content, err := fetch(ctx, address)
			if err != nil {
				return nil, err
			}
			fetched[address] = append([]byte{}, content...) // never nil
		}
		if document, err = messages.WithResources(document, fetched); err != nil {
			return nil, err
		}
	}
}

func missingIn(mistakes []*definitionv1.Mistake) (addresses []string) {
	for _, m := range mistakes {
		if a := m.GetResource(); a != "" && !slices.Contains(addresses, a) {
			addresses = append(addresses, a)
		}
	}
	return addresses
}

// Deploy deploys a definition, with what it refers to.
func (c *Client) Deploy(
	ctx context.Context, r *definitionv1.DeployRequest, fetch Fetch, options ...grpc.CallOption,
) (*definitionv1.DeployResponse, error) {
	deployed, refused := c.definitions.Deploy(ctx, r, options...)
	if status.Code(refused) != codes.InvalidArgument {
		return deployed, refused
	}
	var unknown error // what is missing
	document, err := Complete(ctx, r.GetDocument(), fetch, func(ctx context.Context, document []byte) ([]*definitionv1.Mistake, error) {
		var checked *definitionv1.ValidateResponse
		checked, unknown = c.definitions.Validate(ctx, &definitionv1.ValidateRequest{Document: document}, options...)
		return checked.GetMistakes(), unknown
	})
	switch {
	case unknown != nil, err == nil && len(document) == len(r.GetDocument()):
		return nil, refused
	case err != nil:
		return nil, fmt.Errorf("deploy what the definition refers to: %w", err)
	}
	return c.definitions.Deploy(ctx, &definitionv1.DeployRequest{Document: document, Strict: r.GetStrict()}, options...)
}
