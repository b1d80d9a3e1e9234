package postgres

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

//go:embed batch.sql
var batchSQL string

// variant says which parts the statement of a batch has. Whatever a batch does not need costs time all the same, so it is left out.
type variant struct {
	Continues bool // it goes on with orders that were accepted before
	Accepts   bool
	Updates   bool // it changes rows of orders
	Takes     bool // orders may leave the intake whose rows it does not change otherwise
	Labels    bool
	Overflows bool
	Counts    bool // the numbers of orders that have faulted, or are in doubt, may change with a row
	Releases  bool
}

// statement is a variant's, as text and as what its parameters are.
type statement struct {
	sql       string
	arguments []func(*columns) any
}

// parameters are what batch.sql calls its parameters.
var parameters = map[string]func(*columns) any{ //nolint:gochecknoglobals // a constant
	"incarnation": func(t *columns) any { return string(t.incarnation) },
	"lane":        func(t *columns) any { return t.lane },
	"number":      func(t *columns) any { return t.number },
	"place":       func(t *columns) any { return t.place },
	"oldest":      func(t *columns) any { return t.oldest },
	"newest":      func(t *columns) any { return t.newest },
	"none":        func(*columns) any { return uid{} },
	"faulted":     func(*columns) any { return int16(orderv1.Status_STATUS_FAULTED) },

	"commit_handle": func(t *columns) any { return t.commits.handle },
	"commit_first":  func(t *columns) any { return t.commits.first },
	"commit_events": func(t *columns) any { return t.commits.events },
	"commit_record": func(t *columns) any { return t.commits.record },
	"commit_owned":  func(t *columns) any { return t.commits.owned },

	"handle":      func(t *columns) any { return t.changes.handle },
	"id":          func(t *columns) any { return t.changes.id },
	"partition":   func(t *columns) any { return t.changes.partition },
	"hash":        func(t *columns) any { return t.changes.hash },
	"row":         func(t *columns) any { return t.changes.row },
	"opens":       func(t *columns) any { return t.changes.opens },
	"open":        func(t *columns) any { return t.changes.open },
	"intake":      func(t *columns) any { return t.changes.intake },
	"name":        func(t *columns) any { return t.changes.name },
	"key":         func(t *columns) any { return t.changes.key },
	"ended_badly": func(t *columns) any { return t.changes.endedBadly },
	"in_doubt":    func(t *columns) any { return t.changes.inDoubt },
	"due":         func(t *columns) any { return t.changes.due },
	"queue":       func(t *columns) any { return t.changes.queue },
	"queue_place": func(t *columns) any { return t.changes.place },

	"label":        func(t *columns) any { return t.labels.label },
	"label_handle": func(t *columns) any { return t.labels.handle },

	"overflow_activity":  func(t *columns) any { return t.overflow.activity },
	"overflow_priority":  func(t *columns) any { return t.overflow.priority },
	"overflow_partition": func(t *columns) any { return t.overflow.partition },
	"overflow_at":        func(t *columns) any { return t.overflow.at },
	"overflow_frame":     func(t *columns) any { return t.overflow.frame },
	"overflow_handle":    func(t *columns) any { return t.overflow.handle },
	"overflow_bytes":     func(t *columns) any { return t.overflow.bytes },

	"release_partition": func(t *columns) any { return t.releases.partition },
	"release_epoch":     func(t *columns) any { return t.releases.epoch },
}

var (
	batchTemplate = template.Must(template.New("batch.sql").Parse(batchSQL))
	parameter     = regexp.MustCompile(`@[a-z_]+`)
)

// mostStatements is how many statements a connection keeps prepared, those that it has needed last. The server has 0.13 to 0.7 MB for
// each of those of a batch.
const mostStatements = 64

// statementOf makes the statement of a variant.
func statementOf(v variant) *statement {
	var text strings.Builder
	if err := batchTemplate.Execute(&text, v); err != nil {
		panic(fmt.Errorf("batch.sql and variant don't fit: %w", err))
	}
	s := &statement{}
	var names []string
	s.sql = parameter.ReplaceAllStringFunc(text.String(), func(name string) string {
		i := slices.Index(names, name)
		if i < 0 {
			i = len(names)
			names = append(names, name)
			s.arguments = append(s.arguments, parameters[name[1:]])
		}
		return fmt.Sprint("$", i+1)
	})
	return s
}
