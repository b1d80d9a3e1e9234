package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/holdfast-run/holdfast/client/shown"
	"github.com/holdfast-run/holdfast/messages/eventtype"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func (a *app) printEvent(ev *orderv1.HistoryEvent) error { return a.printJSON(shown.EventOf(ev)) }

func textAttempt(n uint32) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(n), 10)
}

// briefData is how much of an event's data is told where there is little room.
const briefData = 80

// eventDetail is what else is to tell of an event, in one line, with so many characters of its data at most; 0: with all.
func eventDetail(ev *orderv1.HistoryEvent, most int) string {
	var parts []string
	if ev.GetChildId() != "" {
		parts = append(parts, "order "+ev.GetChildId())
	}
	if strings.HasPrefix(ev.GetType(), "compensation.") {
		parts = append(parts, "key "+ev.GetKey())
	}
	for _, part := range []string{ev.GetActivity(), shown.ProblemText(ev.GetError()), ev.GetReason()} {
		if part != "" {
			parts = append(parts, part)
		}
	}
	if ev.GetBy() != "" {
		parts = append(parts, "by "+ev.GetBy())
	}
	if ev.GetNotDone() {
		parts = append(parts, "not done")
	}
	if ev.GetCompensate() {
		parts = append(parts, "with compensation")
	}
	parts = append(parts, handedDetail(ev)...)
	if ev.GetDue() != nil {
		parts = append(parts, "due "+shown.TimeText(ev.GetDue()))
	}
	if data := textValue(ev.GetData()); data != "" && most > 0 {
		parts = append(parts, shorten(data, most))
	} else if data != "" {
		parts = append(parts, data)
	}
	return strings.Join(parts, "  ")
}

// handedDetail tells to which process or ledger an attempt was sent, and what came of that.
func handedDetail(ev *orderv1.HistoryEvent) []string {
	var parts []string
	if ev.GetLedger() != "" {
		parts = append(parts, "ledger "+ev.GetLedger())
	}
	if ev.GetMaybeStarted() {
		parts = append(parts, "asked to find out whether it was begun before")
	}
	if ev.GetProcess() != "" {
		parts = append(parts, "process "+ev.GetProcess())
	}
	switch {
	case ev.GetAlone():
		parts = append(parts, "it executed nothing else")
	case ev.GetKept():
		parts = append(parts, "it is back with the attempt, and nobody else had it")
	case ev.GetEventType() == eventtype.AttemptFound:
		parts = append(parts, "it is back, and has not died of it")
	case ev.GetSuspect():
		parts = append(parts, "executed alone from now on")
	}
	return parts
}

// shorten cuts a text after n characters.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}

// eventLine is an event in one line, its columns as wide as they usually need to be.
func eventLine(ev *orderv1.HistoryEvent, most int) string {
	return strings.TrimRight(clean(fmt.Sprintf("%6d  %s  %-20s  %-24s  %2s  %s",
		ev.GetVersion(), shown.TimeText(ev.GetAt()), ev.GetType(), ev.GetTask(), textAttempt(ev.GetAttempt()), eventDetail(ev, most))), " ")
}

func newOrderHistory(a *app) *cobra.Command {
	var from uint64
	cmd := &cobra.Command{
		Use:               "history ID",
		Short:             "Print all that happened to an order, up to now",
		Args:              oneOrderID,
		ValidArgsFunction: a.completeOrderID,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.history(cmd, args[0], from)
		},
	}
	cmd.Flags().Uint64Var(&from, "from", 1, "the first `version` to print")
	return cmd
}

func (a *app) history(cmd *cobra.Command, id string, from uint64) error {
	c, err := a.dial()
	if err != nil {
		return err
	}
	defer c.close()
	ctx, cancel := a.bound(cmd.Context())
	defer cancel()
	t := a.newEventTable()
	for {
		answer, err := c.Orders().History(ctx, &orderv1.HistoryRequest{Id: id, FromVersion: from})
		if err != nil {
			return err
		}
		if err := a.printEvents(t, answer.GetEvents()); err != nil {
			return err
		}
		if answer.GetNextVersion() <= from { // 0 at the end; what doesn't rise would never end
			return t.end()
		}
		from = answer.GetNextVersion()
	}
}

// newEventTable makes a table of events; nil if JSON is wanted.
func (a *app) newEventTable() *table {
	if a.output != outputTable {
		return nil
	}
	return a.newTable(whole("VERSION"), cut("AT"), whole("TYPE"), cut("TASK"), whole("ATTEMPT"), below("DETAIL"))
}

// printEvents prints events: as rows of t, or as JSON if there is none.
func (a *app) printEvents(t *table, events []*orderv1.HistoryEvent) error {
	most := 0
	if t != nil && t.width > 0 {
		most = briefData
	}
	for _, ev := range events {
		if t == nil {
			if err := a.printEvent(ev); err != nil {
				return err
			}
			continue
		}
		t.row(strconv.FormatUint(ev.GetVersion(), 10), shown.TimeText(ev.GetAt()), ev.GetType(), ev.GetTask(),
			textAttempt(ev.GetAttempt()), eventDetail(ev, most))
	}
	return nil
}
