package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// definitions serves definitionv1.DefinitionService.
type definitions struct {
	definitionv1.UnimplementedDefinitionServiceServer
	*Server
}

// Validate implements definitionv1.DefinitionServiceServer.
func (d definitions) Validate(_ context.Context, r *definitionv1.ValidateRequest) (*definitionv1.ValidateResponse, error) {
	def, mistakes, warnings := d.engine.Check(r.GetDocument())
	out := &definitionv1.ValidateResponse{Mistakes: mistakes, Warnings: warnings}
	if def != nil {
		out.Definition = def.Ref.String()
	}
	return out, nil
}

// Deploy implements definitionv1.DefinitionServiceServer.
func (d definitions) Deploy(ctx context.Context, r *definitionv1.DeployRequest) (*definitionv1.DeployResponse, error) {
	def, wrong, warnings := d.engine.Check(r.GetDocument())
	what := "mistakes"
	if len(wrong) == 0 && r.GetStrict() {
		what, wrong = "warnings, and is refused because it is deployed strictly", warnings
	}
	if len(wrong) > 0 {
		f := &failure{
			code: codes.InvalidArgument, reason: "BAD_DEFINITION",
			message: fmt.Sprintf("the definition has %d %s; the first: %s", len(wrong), what, describe(wrong[0])),
		}
		for _, w := range wrong {
			f.fields = append(f.fields, &errdetails.BadRequest_FieldViolation{Field: "document" + w.GetPath(), Description: describe(w)})
		}
		return nil, d.fail(f)
	}
	hash := sha256.Sum256(r.GetDocument())
	row, err := d.engine.Deploy(ctx, &journalv1.DefinitionRow{
		Namespace: def.Ref.Namespace, Name: def.Ref.Name, Version: def.Ref.Version, Hash: hash[:],
		DeployedAt: time.Now().UnixNano(), Title: def.Title, Document: r.GetDocument(), Activities: def.Activities,
	})
	if err != nil {
		return nil, d.fail(deployFailure(def.Ref, err))
	}
	return &definitionv1.DeployResponse{Definition: definitionOf(row, false), Warnings: append(warnings, d.unoffered(def.Activities)...)}, nil
}

func describe(m *definitionv1.Mistake) string {
	if m.GetLine() == 0 {
		return m.GetMessage()
	}
	return fmt.Sprintf("line %d, column %d: %s", m.GetLine(), m.GetColumn(), m.GetMessage())
}

// unoffered warns of activities that no adapter offers now.
func (d definitions) unoffered(activities []string) []*definitionv1.Mistake {
	var out []*definitionv1.Mistake
	for _, a := range activities {
		if !d.catalog.offered(a) {
			out = append(out, &definitionv1.Mistake{
				Severity: definitionv1.Severity_SEVERITY_WARNING,
				Message:  "no connected adapter offers the activity " + a + ": orders that call it will wait for one",
			})
		}
	}
	return out
}

func definitionOf(row *journalv1.DefinitionRow, document bool) *definitionv1.Definition {
	d := &definitionv1.Definition{
		Namespace: row.GetNamespace(), Name: row.GetName(), Version: row.GetVersion(), Hash: row.GetHash(),
		DeployedAt: timestamppb.New(time.Unix(0, row.GetDeployedAt())), Title: row.GetTitle(), Activities: row.GetActivities(),
	}
	if document {
		d.Document = row.GetDocument()
	}
	return d
}

// Get implements definitionv1.DefinitionServiceServer.
func (d definitions) Get(_ context.Context, r *definitionv1.GetRequest) (*definitionv1.GetResponse, error) {
	ref, err := messages.ParseDefinitionRef(r.GetDefinition())
	if err != nil {
		var m mistakes
		m.add("definition", err.Error())
		return nil, d.fail(m.err())
	}
	row, err := d.engine.DefinitionRow(ref)
	if err != nil {
		return nil, d.fail(err)
	}
	return &definitionv1.GetResponse{Definition: definitionOf(row, true)}, nil
}

// List implements definitionv1.DefinitionServiceServer.
func (d definitions) List(_ context.Context, r *definitionv1.ListRequest) (*definitionv1.ListResponse, error) {
	var m mistakes
	limit := checkLimit(&m, "page_size", r.GetPageSize(), defaultListPage)
	if err := m.err(); err != nil {
		return nil, d.fail(err)
	}
	from := 0
	if t := r.GetPageToken(); t != "" {
		var err error
		if from, err = strconv.Atoi(t); err != nil || from < 0 {
			m.add("page_token", notAToken)
			return nil, d.fail(m.err())
		}
	}
	out := &definitionv1.ListResponse{}
	for i, row := range d.engine.DefinitionRows(r.GetNamespace()) {
		if i < from {
			continue
		}
		if len(out.GetDefinitions()) == limit {
			out.NextPageToken = strconv.Itoa(i)
			break
		}
		out.Definitions = append(out.Definitions, definitionOf(row, false))
	}
	return out, nil
}

func deployFailure(ref messages.DefinitionRef, err error) error {
	if errors.Is(err, persistence.ErrConflict) {
		return &failure{
			code: codes.AlreadyExists, reason: "DEFINITION_TAKEN",
			message: ref.String() + " is deployed already with another content, and can't be changed: deploy it under a new version",
		}
	}
	return err
}
