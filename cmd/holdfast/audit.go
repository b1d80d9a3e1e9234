package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/holdfast-run/holdfast/actors/audit"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/auditv1"
)

func newAudit(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "See who changed what, and who was refused; make sure that nobody has changed that",
		Long: "Nodes note each change by a person or a program, before it is made and after, in chains that bear hashes: a change of\n" +
			"what was noted is found. Orders that were submitted are not among it: see holdfast order list.",
	}
	asGroup(cmd)
	a.adminFlags(cmd)
	cmd.AddCommand(newAuditList(a), newAuditHead(a), newAuditExport(a), newAuditVerify(a))
	return cmd
}

// eachEntry visits the entries of the audit as they are stored, in the order of the chains.
func (a *app) eachEntry(ctx context.Context, r *adminv1.ListAuditRequest, visit func(stored []byte) error) error {
	return a.call(ctx, a.dialAdmin, func(ctx context.Context, c *api) error {
		for {
			page, err := c.Admin().ListAudit(ctx, r)
			if err != nil {
				return err
			}
			for _, stored := range page.GetEntries() {
				if err := visit(stored); err != nil {
					return err
				}
			}
			if r.PageToken = page.GetNextPageToken(); r.GetPageToken() == "" {
				return nil
			}
		}
	})
}

func newAuditHead(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "head",
		Short: "Tell how far the chain of a node has come, to be kept elsewhere",
		Long: "Tells the head of the chain of the node that is asked, in one line: signed, if the node has a key for that. Whoever keeps\n" +
			"it can tell later by holdfast audit verify --head whether anything before was changed, or the chain was cut.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.call(cmd.Context(), a.dialAdmin, func(ctx context.Context, c *api) error {
				head, err := c.Admin().ShowAuditHead(ctx, &adminv1.ShowAuditHeadRequest{})
				if err != nil {
					return err
				}
				if _, err := fmt.Fprintln(a.stdout, head.GetHead()); err != nil {
					return fmt.Errorf("write answer: %w", err)
				}
				return nil
			})
		},
	}
}

func newAuditExport(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Write the whole audit as lines of JSON, which can be verified anywhere",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := bufio.NewWriter(a.stdout)
			err := a.eachEntry(cmd.Context(), &adminv1.ListAuditRequest{}, func(stored []byte) error {
				line, err := json.Marshal(exportedEntry{Entry: stored})
				if err == nil {
					_, err = out.Write(append(line, '\n'))
				}
				if err != nil {
					return fmt.Errorf("write an entry: %w", err)
				}
				return nil
			})
			if flushErr := out.Flush(); err == nil && flushErr != nil {
				err = fmt.Errorf("write an entry: %w", flushErr)
			}
			return err
		},
	}
}

// exportedEntry is a line of an export: the bytes as they are stored.
type exportedEntry struct {
	Entry []byte `json:"entry"`
}

// mostLine is the longest line of an export, in bytes; one that is longer was changed.
const mostLine = 1 << 20

func newAuditVerify(a *app) *cobra.Command {
	var keys, heads []string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Make sure that nothing in the audit was changed, removed or added afterwards",
		Long: "Verifies the whole audit, as a node has it, or as holdfast audit export has written it to a file (-: the input). Without\n" +
			"--key it finds what was changed by somebody who did not make the hashes anew; with it also what was made anew; and with\n" +
			"--head, which somebody has kept elsewhere, also that the end was cut. Its status is 1 if anything is wrong.",
		Example: "  holdfast audit verify --key audit.pub --head heads.json\n" +
			"  holdfast audit export >audit.jsonl && holdfast audit verify audit.jsonl",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			checks, err := auditChecks(keys, heads)
			if err != nil {
				return err
			}
			v := audit.NewVerifier(checks)
			add := func(stored []byte) error {
				v.Add(stored)
				return nil
			}
			if len(args) == 0 {
				err = a.eachEntry(cmd.Context(), &adminv1.ListAuditRequest{}, add)
			} else {
				err = a.eachExported(args[0], add)
			}
			if err != nil {
				return err
			}
			return a.printVerified(v.Report(), len(checks.Keys) > 0)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "`file` with the public key that signs chains, PEM; several times for more")
	cmd.Flags().StringArrayVar(&heads, "head", nil, "`file` with heads that were kept elsewhere; several times for more")
	return cmd
}

// auditChecks reads what the audit is held against.
func auditChecks(keys, heads []string) (checks audit.Checks, err error) {
	for _, file := range keys {
		key, err := readAuditPublic(file)
		if err != nil {
			return checks, fmt.Errorf("--key: %w", err)
		}
		checks.Keys = append(checks.Keys, key)
	}
	for _, file := range heads {
		text, err := os.ReadFile(file)
		if err != nil {
			return checks, fmt.Errorf("--head: %w", err)
		}
		more, err := audit.ParseHeads(text)
		if err != nil {
			return checks, fmt.Errorf("--head %s: %w", file, err)
		}
		checks.Heads = append(checks.Heads, more...)
	}
	return checks, nil
}

// eachExported visits the entries of an export. A line that can't be read is an entry that was changed.
func (a *app) eachExported(file string, visit func(stored []byte) error) error {
	in := a.stdin
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return fmt.Errorf("open the export: %w", err)
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	for lines := bufio.NewReaderSize(in, mostLine); ; {
		line, err := lines.ReadSlice('\n')
		end := errors.Is(err, io.EOF)
		if err != nil && !end {
			return fmt.Errorf("read the export: %w", err)
		}
		if end && len(line) == 0 {
			return nil
		}
		var e exportedEntry
		_ = json.Unmarshal(line, &e) // what is read then is not what was written
		written, err := json.Marshal(e)
		if err != nil {
			return fmt.Errorf("encode an entry: %w", err)
		}
		if !bytes.Equal(append(written, '\n'), line) {
			e.Entry = nil
		}
		if err := visit(e.Entry); err != nil {
			return err
		}
	}
}

var errAuditChanged = errors.New("the audit is not what was written")

// verifiedText is what a verification found.
type verifiedText struct {
	Chains       []chainText `json:"chains"`
	ProblemCount int         `json:"problem_count"`
	Problems     []string    `json:"problems"`
}

type chainText struct {
	Chain  string `json:"chain"`
	First  uint64 `json:"first"`
	Last   uint64 `json:"last"`
	Signed uint64 `json:"signed"`
	Head   string `json:"head"`
}

func (a *app) printVerified(r audit.Report, keyed bool) error {
	out := verifiedText{Chains: []chainText{}, ProblemCount: r.ProblemCount, Problems: append([]string{}, r.Problems...)}
	for _, c := range r.Chains {
		out.Chains = append(out.Chains, chainText{Chain: c.Chain, First: c.First, Last: c.Last, Signed: c.Signed, Head: c.Head.Text()})
	}
	if a.output == outputJSON {
		if err := a.printJSON(out); err != nil {
			return err
		}
	} else {
		t := a.newTable(whole("CHAIN"), whole("FIRST"), whole("LAST"), whole("SIGNED UP TO"))
		for _, c := range out.Chains {
			signed := "not looked at"
			if keyed {
				signed = strconv.FormatUint(c.Signed, 10)
			}
			t.row(c.Chain, strconv.FormatUint(c.First, 10), strconv.FormatUint(c.Last, 10), signed)
		}
		if err := t.end(); err != nil {
			return err
		}
		for _, p := range out.Problems {
			fmt.Fprintln(a.stderr, clean(p))
		}
	}
	if r.ProblemCount > 0 {
		return fmt.Errorf("%w: %d problems", errAuditChanged, r.ProblemCount)
	}
	return nil
}

func newAuditList(a *app) *cobra.Command {
	var since time.Duration
	var chain, who, method string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List what was changed and who was refused",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r := &adminv1.ListAuditRequest{Chain: chain}
			if since > 0 {
				r.Since = timestamppb.New(time.Now().Add(-since))
			}
			l := &auditLister{app: a, who: who, method: method, begun: map[uint64]*auditLine{}}
			if err := a.eachEntry(cmd.Context(), r, l.add); err != nil {
				return err
			}
			return l.print()
		},
	}
	cmd.Flags().DurationVar(&since, "since", 0, "only of the last so much `time`, as 24h")
	cmd.Flags().StringVar(&chain, "chain", "", "only of the `node` of this name")
	cmd.Flags().StringVar(&who, "who", "", "only by callers whose name, address or --by has this `text`")
	cmd.Flags().StringVar(&method, "method", "", "only what has this `text` in the method that was called, as LimitActivity")
	return cmd
}

// auditLister gathers entries for people: a change and its outcome are one line.
type auditLister struct {
	*app

	who, method string
	chain       string
	begun       map[uint64]*auditLine // of the chain at hand, by their sequences
	lines       []*auditLine
}

// auditLine is a change with its outcome, or something else that was noted.
type auditLine struct {
	Chain    string    `json:"chain"`
	Sequence uint64    `json:"sequence"`
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"`
	Name     string    `json:"name,omitempty"`
	KnownBy  string    `json:"known_by,omitempty"`
	Address  string    `json:"address,omitempty"`
	What     string    `json:"what,omitempty"`
	By       string    `json:"by,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Request  []string  `json:"request,omitempty"`
	Changes  []string  `json:"changes,omitempty"`
	Outcome  string    `json:"outcome,omitempty"`
	Count    uint64    `json:"count,omitempty"`
}

// Kinds of lines.
const (
	kindChange  = "change"
	kindRefused = "refused"
	kindDamaged = "damaged"
	kindChain   = "chain"
)

func (l *auditLister) add(stored []byte) error {
	e, _, err := audit.Read(stored)
	if err != nil {
		l.lines = append(l.lines, &auditLine{Chain: l.chain, Kind: kindDamaged, Outcome: err.Error()})
		return nil //nolint:nilerr // it is told as what it is
	}
	if e.GetChain() != l.chain {
		l.chain = e.GetChain()
		clear(l.begun)
	}
	line := &auditLine{Chain: l.chain, Sequence: e.GetSequence(), At: time.Unix(0, e.GetAt()).UTC(), Kind: kindChain}
	switch k := e.GetKind().(type) {
	case *auditv1.Entry_Begun:
		x := k.Begun
		line.Kind = kindChange
		line.whose(x.GetCaller())
		line.What, line.By, line.Reason = x.GetMethod(), x.GetBy(), x.GetReason()
		for _, f := range x.GetFields() {
			line.Request = append(line.Request, f.GetName()+"="+f.GetValue())
		}
		line.Outcome = "nobody has noted it"
		l.begun[e.GetSequence()] = line
	case *auditv1.Entry_Ended:
		if of := l.begun[k.Ended.GetBegun()]; of != nil {
			of.end(k.Ended)
			delete(l.begun, k.Ended.GetBegun())
		}
		return nil
	case *auditv1.Entry_Refused:
		x := k.Refused
		line.Kind = kindRefused
		line.whose(x.GetCaller())
		line.What, line.Outcome, line.Count = x.GetWhat(), x.GetWhy(), x.GetCount()
	case *auditv1.Entry_Opened:
		line.What, line.Outcome = "a node goes on with the chain", "version "+k.Opened.GetVersion()
	case *auditv1.Entry_Kept:
		line.What = "older entries were removed"
		line.Outcome = "entries from " + strconv.FormatUint(k.Kept.GetFrom(), 10) + " on are kept"
	default:
		return nil // signatures are for verify
	}
	if l.meant(line) {
		l.lines = append(l.lines, line)
	}
	return nil
}

func (l *auditLister) meant(line *auditLine) bool {
	whose := strings.Join([]string{line.Name, line.Address, line.By}, "\n")
	return strings.Contains(whose, l.who) && strings.Contains(line.What, l.method)
}

func (line *auditLine) whose(c *auditv1.Caller) {
	line.Name, line.KnownBy, line.Address = c.GetName(), c.GetKnownBy(), c.GetAddress()
}

// end adds what came of a change.
func (line *auditLine) end(e *auditv1.Ended) {
	line.Outcome = "done"
	if e.GetCode() != 0 {
		code := codes.Code(uint32(e.GetCode())) //nolint:gosec // it was one
		line.Outcome = strings.TrimSpace(code.String() + " " + e.GetReason() + ": " + e.GetMessage())
	}
	for _, c := range e.GetChanges() {
		line.Changes = append(line.Changes, fmt.Sprintf("%s: %q → %q", c.GetWhat(), c.GetBefore(), c.GetAfter()))
	}
}

// what says in words what was done, or refused, and how often.
func (line *auditLine) what() string {
	what := line.What
	if strings.HasPrefix(what, "/") { // a method
		what = what[strings.LastIndexByte(what, '/')+1:]
	}
	switch {
	case line.Count == 1:
		what += " refused"
	case line.Count > 1:
		what += fmt.Sprintf(" refused %d times", line.Count)
	}
	return what
}

func (l *auditLister) print() error {
	if l.output == outputJSON {
		for _, line := range l.lines {
			if err := l.printJSON(line); err != nil {
				return err
			}
		}
		return nil
	}
	t := l.newTable(whole("AT"), cut("CHAIN"), cut("WHO"), whole("WHAT"), cut("OUTCOME"), wrap("CHANGES"), wrap("WHY"))
	for _, line := range l.lines {
		who := line.Address
		if line.Name != "" {
			who = line.Name + " (" + line.KnownBy + ") from " + line.Address
		}
		if line.By != "" {
			who += " (says " + line.By + ")"
		}
		what, changes := line.what(), line.Changes
		if len(changes) == 0 {
			changes = line.Request
		}
		t.row(line.At.Format(time.RFC3339), line.Chain, who, what, line.Outcome, strings.Join(changes, "; "), line.Reason)
	}
	return t.end()
}
