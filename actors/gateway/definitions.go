package gateway

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/access"
	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/actors/runtime"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/journalv1"
)

// definitions serves definitionv1.DefinitionService.
type definitions struct {
	definitionv1.UnimplementedDefinitionServiceServer
	*Server
}

// Validate implements definitionv1.DefinitionServiceServer.
func (d definitions) Validate(ctx context.Context, r *definitionv1.ValidateRequest) (*definitionv1.ValidateResponse, error) {
	def, mistakes, warnings, err := d.examine(ctx, r.GetDocument())
	if err != nil {
		return nil, d.fail(err)
	}
	out := &definitionv1.ValidateResponse{Mistakes: mistakes, Warnings: warnings}
	if def != nil {
		out.Definition = def.Ref.String()
	}
	return out, nil
}

// Deploy implements definitionv1.DefinitionServiceServer.
func (d definitions) Deploy(ctx context.Context, r *definitionv1.DeployRequest) (*definitionv1.DeployResponse, error) {
	def, wrong, warnings, err := d.examine(ctx, r.GetDocument())
	if err != nil {
		return nil, d.fail(err)
	}
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
	if err := requireOfDefinition(access.Of(ctx), def); err != nil {
		return nil, d.fail(err)
	}
	hash := sha256.Sum256(r.GetDocument())
	row, err := d.engine.Catalog().Deploy(ctx, &journalv1.DefinitionRow{
		Namespace: def.Ref.Namespace, Name: def.Ref.Name, Version: def.Ref.Version, Hash: hash[:],
		DeployedAt: d.engine.Now().UnixNano(), Title: def.Title, Document: r.GetDocument(), Activities: def.Activities,
		Routes: def.Routes, Scheduled: def.Scheduled,
	})
	if err != nil {
		return nil, d.fail(deployFailure(def.Ref, err))
	}
	note(ctx, "definition", "", def.Ref.String())
	warnings = append(append(warnings, d.unoffered(def.Activities)...), d.unused(ctx, def, row)...)
	return &definitionv1.DeployResponse{Definition: definitionOf(row, false), Warnings: warnings}, nil
}

// maxMistake is the longest text of a mistake, in bytes, and the longest path.
const maxMistake = 1 << 10

// examine compiles a document. The texts of mistakes are clipped, as they name parts of the document, which may be long.
func (d definitions) examine(
	ctx context.Context, document []byte,
) (def *catalog.Examined, wrong, warnings []*definitionv1.Mistake, err error) {
	pass, err := d.enter(ctx, runtime.HeavyDefinition, "")
	if err != nil {
		return nil, nil, nil, err
	}
	defer pass.Leave()
	def, wrong, warnings, err = d.engine.Catalog().Check(ctx, document)
	for _, list := range [...][]*definitionv1.Mistake{wrong, warnings} {
		for _, m := range list {
			m.Path, m.Message = messages.Clip(m.GetPath(), maxMistake), messages.Clip(m.GetMessage(), maxMistake)
		}
	}
	return def, wrong, warnings, err
}

func describe(m *definitionv1.Mistake) string {
	if m.GetLine() == 0 {
		return m.GetMessage()
	}
	return fmt.Sprintf("line %d, column %d: %s", m.GetLine(), m.GetColumn(), m.GetMessage())
}

// mostWarnings is the most warnings that one answer has.
const mostWarnings = 100

// unoffered warns of activities that no adapter offers now.
func (d definitions) unoffered(activities []string) []*definitionv1.Mistake {
	var out []*definitionv1.Mistake
	for _, a := range activities {
		if len(out) == mostWarnings {
			return append(out, &definitionv1.Mistake{
				Severity: definitionv1.Severity_SEVERITY_WARNING, Message: "and no connected adapter offers further activities that it calls",
			})
		}
		if !d.offered.has(a) {
			out = append(out, &definitionv1.Mistake{
				Severity: definitionv1.Severity_SEVERITY_WARNING,
				Message:  "no connected adapter offers the activity " + a + ": orders that call it will wait for one",
			})
		}
	}
	return out
}

// maxUnused is of how many definitions that can't be run a deployment warns.
const maxUnused = 100

// unused warns if a definition is retired, and of definitions that its tasks run and that are not deployed, or are retired.
func (d definitions) unused(ctx context.Context, def *catalog.Examined, row *journalv1.DefinitionRow) []*definitionv1.Mistake {
	if len(def.Runs) > 0 {
		_ = d.engine.Catalog().Reread(ctx) // if that fails, what was known here before has to do
	}
	var out []*definitionv1.Mistake
	warn := func(path, message string) {
		out = append(out, &definitionv1.Mistake{Severity: definitionv1.Severity_SEVERITY_WARNING, Path: path, Message: message})
	}
	if row.GetRetirement() != nil {
		warn("", "the definition was deployed before, and is retired: reinstate it if it shall be used")
	}
	told := map[messages.DefinitionRef]bool{def.Ref: true}
	for _, ref := range slices.Sorted(maps.Keys(def.Runs)) {
		run := def.Runs[ref]
		if told[run] || len(out) == maxUnused {
			continue
		}
		told[run] = true
		if err := d.engine.Catalog().Usable(run); err != nil {
			warn(messages.Clip(ref, maxMistake), messages.Clip(err.Error(), maxMistake))
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
	if r := row.GetRetirement(); r != nil {
		d.Retirement = &definitionv1.Retirement{At: timestamppb.New(time.Unix(0, r.GetAt())), By: r.GetBy(), Reason: r.GetReason()}
		if at := r.GetRemovedAt(); at != 0 {
			d.Retirement.RemovedAt = timestamppb.New(time.Unix(0, at))
		}
	}
	return d
}

// Retire implements definitionv1.DefinitionServiceServer.
func (d definitions) Retire(ctx context.Context, r *definitionv1.RetireRequest) (*definitionv1.RetireResponse, error) {
	var m mistakes
	checkReason(&m, "reason", r.GetReason())
	checkReason(&m, "by", r.GetBy())
	row, err := d.retire(ctx, &m, r.GetDefinition(), &journalv1.Retirement{
		At: d.engine.Now().UnixNano(), By: signed(ctx, r.GetBy()), Reason: r.GetReason(),
	})
	if err != nil {
		return nil, d.fail(err)
	}
	return &definitionv1.RetireResponse{Definition: definitionOf(row, false)}, nil
}

// Reinstate implements definitionv1.DefinitionServiceServer.
func (d definitions) Reinstate(ctx context.Context, r *definitionv1.ReinstateRequest) (*definitionv1.ReinstateResponse, error) {
	row, err := d.retire(ctx, &mistakes{}, r.GetDefinition(), nil)
	if err != nil {
		return nil, d.fail(tooMany(err))
	}
	return &definitionv1.ReinstateResponse{Definition: definitionOf(row, false)}, nil
}

// retire retires or reinstates a definition, unless something was wrong with the request.
func (d definitions) retire(
	ctx context.Context, m *mistakes, name string, r *journalv1.Retirement,
) (*journalv1.DefinitionRow, error) {
	ref := oneVersion(m, name)
	if err := m.err(); err != nil {
		return nil, err
	}
	known, _ := d.engine.Catalog().Row(ref) // nil, if there is none: that fails below
	before := useText(known)
	row, err := d.engine.Catalog().Retire(ctx, ref, r)
	if err == nil {
		note(ctx, "definition "+ref.String(), before, useText(row))
	}
	return row, err
}

func useText(row *journalv1.DefinitionRow) string {
	switch r := row.GetRetirement(); {
	case r.GetRemovedAt() != 0:
		return "removed"
	case r != nil:
		return "retired"
	}
	return "in use"
}

// oneVersion reads the name of one version of a definition.
func oneVersion(m *mistakes, name string) messages.DefinitionRef {
	ref, err := messages.ParseDefinitionRef(name)
	if err == nil && ref.Version == messages.Latest {
		err = errors.New("must name a version, as namespace/name:version: what the latest one is changes") //nolint:err113 // for people
	}
	if err != nil {
		m.add("definition", err.Error())
	}
	return ref
}

// Remove implements definitionv1.DefinitionServiceServer.
func (d definitions) Remove(ctx context.Context, r *definitionv1.RemoveRequest) (*definitionv1.RemoveResponse, error) {
	var m mistakes
	ref := oneVersion(&m, r.GetDefinition())
	if err := m.err(); err != nil {
		return nil, d.fail(err)
	}
	known, _ := d.engine.Catalog().Row(ref) // nil, if there is none: that fails below
	before := useText(known)
	row, users, err := d.engine.RemoveDefinition(ctx, ref)
	switch {
	case len(users.Orders) > 0:
		return nil, d.fail(&failure{
			code: codes.FailedPrecondition, reason: inUse,
			message: ref.String() + " can't be removed: " + users.String() + "; wait until they have ended, or cancel them",
		})
	case errors.Is(err, catalog.ErrNotRetired):
		return nil, d.fail(&failure{
			code: codes.FailedPrecondition, reason: inUse,
			message: ref.String() + " can't be removed, as it is not retired: retire it first, so that no new orders run it",
		})
	case err != nil:
		return nil, d.fail(err)
	}
	note(ctx, "definition "+ref.String(), before, useText(row))
	return &definitionv1.RemoveResponse{Definition: definitionOf(row, false)}, nil
}

// inUse is the reason why a definition is not removed.
const inUse = "DEFINITION_IN_USE"

// Get implements definitionv1.DefinitionServiceServer.
func (d definitions) Get(ctx context.Context, r *definitionv1.GetRequest) (*definitionv1.GetResponse, error) {
	ref, err := messages.ParseDefinitionRef(r.GetDefinition())
	if err != nil {
		var m mistakes
		m.add("definition", err.Error())
		return nil, d.fail(m.err())
	}
	known := d.engine.Catalog()
	row, err := catalog.Look(ctx, known, func() (*journalv1.DefinitionRow, error) { return known.Row(ref) })
	if err == nil {
		row, err = known.Document(ctx, messages.RefOf(row))
	}
	if err != nil {
		return nil, d.fail(err)
	}
	return &definitionv1.GetResponse{Definition: definitionOf(row, true)}, nil
}

// List implements definitionv1.DefinitionServiceServer.
func (d definitions) List(ctx context.Context, r *definitionv1.ListRequest) (*definitionv1.ListResponse, error) {
	var m mistakes
	limit := checkLimit(&m, "page_size", r.GetPageSize(), defaultListPage)
	if err := m.err(); err != nil {
		return nil, d.fail(err)
	}
	rows := d.engine.Catalog().Rows(r.GetNamespace())
	if sees := access.Of(ctx).Sees(access.Viewer); sees != nil {
		rows = slices.DeleteFunc(slices.Clone(rows), func(row *journalv1.DefinitionRow) bool { return !sees(row.GetNamespace()) })
	}
	if t := r.GetPageToken(); t != "" {
		from, err := fromToken(t)
		if err != nil {
			m.add("page_token", notAToken)
			return nil, d.fail(m.err())
		}
		i, _ := slices.BinarySearchFunc(rows, from, func(row *journalv1.DefinitionRow, from messages.DefinitionRef) int {
			return catalog.Compare(messages.RefOf(row), from)
		})
		rows = rows[i:]
	}
	var all []*definitionv1.Definition
	for _, row := range rows[:min(limit, len(rows))] {
		all = append(all, definitionOf(row, false))
	}
	n := fit(all, pageBytes)
	out := &definitionv1.ListResponse{Definitions: all[:n]}
	if n < len(rows) {
		out.NextPageToken = toToken(messages.RefOf(rows[n]))
	}
	return out, nil
}

// toToken makes a token of the definition with which a page begins.
func toToken(ref messages.DefinitionRef) string {
	return base64.RawURLEncoding.EncodeToString([]byte(ref.String()))
}

func fromToken(token string) (messages.DefinitionRef, error) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return messages.DefinitionRef{}, fmt.Errorf("decode the token: %w", err)
	}
	ref, err := messages.ParseDefinitionRef(string(raw))
	if err != nil {
		return messages.DefinitionRef{}, fmt.Errorf("decode the token: %w", err)
	}
	return ref, nil
}

func deployFailure(ref messages.DefinitionRef, err error) error {
	if errors.Is(err, catalog.ErrTaken) {
		return &failure{
			code: codes.AlreadyExists, reason: "DEFINITION_TAKEN",
			message: ref.String() + " is deployed already with another content, and can't be changed: deploy it under a new version",
		}
	}
	return tooMany(err)
}

// tooMany says that there are too many definitions, if that is the error.
func tooMany(err error) error {
	if errors.Is(err, catalog.ErrTooMany) {
		return &failure{code: codes.FailedPrecondition, reason: "TOO_MANY_DEFINITIONS", message: err.Error()}
	}
	return err
}
