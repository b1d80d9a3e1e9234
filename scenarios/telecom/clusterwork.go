package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adminv1"
)

// The numbers that orders are for, one after the other: those that nobody has, and no sample.
const (
	firstNumber = 10
	lastNumber  = 99
)

// carryOut has orders come until the time is over or ctx ends, and follows them to their ends, for as long as running lasts.
func (k *cluster) carryOut(ctx, running context.Context, c *client.Client) ([]*following, error) {
	running, cancel := context.WithCancelCause(running)
	defer cancel(nil)
	ctx, enough := context.WithTimeout(ctx, k.lasts)
	defer enough()
	var (
		all      []*following
		ended    atomic.Int64
		each     sync.WaitGroup
		quiet    = newScreen(io.Discard)
		begun    = time.NewTicker(time.Second / time.Duration(k.rate))
		told     = time.NewTicker(5 * time.Second)
		progress = func() {
			k.show.line("orders", "", fmt.Sprintf("%d have come, %d have ended", len(all), ended.Load()))
		}
	)
	defer begun.Stop()
	defer told.Stop()
	for ctx.Err() == nil {
		select {
		case <-begun.C:
			o, err := numbered(len(all))
			if err != nil {
				return nil, err
			}
			all = append(all, o)
			each.Go(func() {
				if err := errors.Join(o.submit(running, c), o.follow(running, c, quiet)); err != nil {
					cancel(err)
				}
				ended.Add(1)
			})
		case <-told.C:
			progress()
		case <-running.Done():
			return nil, context.Cause(running)
		case <-ctx.Done():
		}
	}
	k.show.line("orders", "", fmt.Sprintf("no more come; %d are under way", int64(len(all))-ended.Load()))
	late := time.AfterFunc(k.patience, func() { cancel(fmt.Errorf("not all orders have ended %v after the last one came", k.patience)) })
	defer late.Stop()
	each.Wait()
	if err := context.Cause(running); err != nil {
		return nil, fmt.Errorf("%w%s", err, stuck(all))
	}
	progress()
	return all, nil
}

// numbered makes the order that comes after n others. It is like the first or the second sample, for another number.
func numbered(n int) (*following, error) {
	o, err := newFollowing(samples[n%2])
	if err != nil {
		return nil, err
	}
	sampled := o.request.GetOrderKey()
	number := sampled[:len(sampled)-2] + strconv.Itoa(firstNumber+n%(lastNumber-firstNumber+1))
	o.request.OrderKey, o.request.Input = number, bytes.ReplaceAll(o.request.GetInput(), []byte(sampled), []byte(number))
	return o, nil
}

// watchEvery is how often it is looked who has what.
const watchEvery = 250 * time.Millisecond

// watch shows which node has how many partitions, and which processes have ended, whenever that changes; and kills nodes, if it is to.
func (k *cluster) watch(ctx context.Context) {
	looks := time.NewTicker(watchEvery)
	defer looks.Stop()
	pids, last, victim := make([]int, clusterNodes), "", 0
	kill := time.Now().Add(k.every)
	for {
		for i, n := range k.nodes.Nodes {
			switch now := n.PID(); now {
			case pids[i]:
			case 0:
				k.show.line(nodeName(i), red, fmt.Sprintf("process %d has ended", pids[i]))
				pids[i] = 0
				k.ended++
			default:
				if pids[i] = now; last != "" {
					k.show.line(nodeName(i), green, fmt.Sprintf("is started again, as process %d", now))
				}
			}
		}
		if now := k.owners(ctx); now != "" && now != last {
			k.show.line("partitions", bold, now)
			last = now
		}
		if k.every > 0 && time.Now().After(kill) {
			kill = time.Now().Add(k.every)
			_ = k.nodes.Nodes[victim%clusterNodes].Signal(syscall.SIGKILL) // it fails if there is none: somebody else was faster
			victim++
		}
		select {
		case <-looks.C:
		case <-ctx.Done():
			return
		}
	}
}

// owners says which node has how many partitions, as the first node sees it that answers; empty: none does.
func (k *cluster) owners(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	for _, n := range k.nodes.Nodes {
		if n.PID() == 0 {
			continue
		}
		conn, err := n.DialAdmin()
		if err != nil {
			continue
		}
		answer, err := conn.Admin().ShowCluster(ctx, &adminv1.ShowClusterRequest{})
		_ = conn.Close() // it fails only if it was closed before
		if err != nil {
			continue
		}
		has := map[string]int{}
		for _, p := range answer.GetPartitions() {
			has[string(messages.Incarnation(p.GetHas()).Node())]++
		}
		var text []string
		for i := range k.nodes.Nodes {
			text = append(text, fmt.Sprintf("%s has %d", nodeName(i), has[nodeName(i)]))
		}
		if has[""] > 0 {
			text = append(text, fmt.Sprintf("nobody %d", has[""]))
		}
		return strings.Join(text, ", ")
	}
	return ""
}
