package actors_test

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-run/holdfast/actors/catalog"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/journalv1"
	"github.com/holdfast-run/holdfast/persistence"
)

// slowPut holds a deployment once it is stored.
type slowPut struct {
	persistence.Journal

	stored, goOn chan struct{} // nil: it is not held
}

func (j *slowPut) PutDefinition(ctx context.Context, row *journalv1.DefinitionRow) (*journalv1.DefinitionRow, error) {
	row, err := j.Journal.PutDefinition(ctx, row)
	if j.stored != nil {
		close(j.stored)
		<-j.goOn
	}
	return row, err
}

// Deploying a document again while it is retired doesn't take it back into use.
func TestRetireBesideDeploy(t *testing.T) {
	t.Parallel()
	j := &slowPut{}
	n := start(t, withWrap(func(below persistence.Journal) persistence.Journal { j.Journal = below; return j }))
	const doc = "document: {dsl: 1.0.3, namespace: test, name: x, version: 1.0.0}\ndo: [{a: {set: {x: 1}}}]"
	def := n.deployDocument(doc)
	j.stored, j.goOn = make(chan struct{}), make(chan struct{})
	deployed, retired := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := n.Catalog().Deploy(t.Context(), &journalv1.DefinitionRow{
			Namespace: "test", Name: "x", Version: "1.0.0", Hash: def.Hash, Document: []byte(doc),
		})
		deployed <- err
	}()
	<-j.stored
	ref := messages.DefinitionRef{Namespace: "test", Name: "x", Version: "1.0.0"}
	go func() {
		_, err := n.Catalog().Retire(t.Context(), ref, &journalv1.Retirement{At: 1})
		retired <- err
	}()
	select { // it waits for the deployment; were it not so, it would be over by then
	case err := <-retired:
		retired <- err
	case <-time.After(200 * time.Millisecond):
	}
	close(j.goOn)
	wantErr(t, <-deployed, nil)
	wantErr(t, <-retired, nil)
	_, err := found(n.Catalog(), ref)
	wantErr(t, err, catalog.ErrRetired)
}
