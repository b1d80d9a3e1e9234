package client

import (
	"context"
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// ListWatching is how to watch a list.
type ListWatching struct {
	// List selects orders, as for List: page_size is the most that are in the list, 1 to 1000; 0 means 100.
	List *orderv1.ListRequest
	// Patience is how long to go on while no node answers.
	Patience Patience
	// Each is called for each message with news, as though they came of one stream that never breaks. Its error ends the watching. It must
	// be given.
	Each func(*orderv1.WatchListResponse) error
}

// WatchList watches a list until ctx has ended or Each fails: the newest orders that match, what becomes of them, which are gone and
// which have come. When a stream breaks, it goes on with another one, at another node if there is one, and tells what has changed
// since. It keeps the orders of the list to that end. It fails with the error of Each; with that of a node, if it does not go away by
// itself; with a GaveUpError; or, if ctx has ended, with the last failure.
func (c *Client) WatchList(ctx context.Context, w ListWatching) error {
	if w.Each == nil {
		return errors.New("watch a list: Each is nil: nobody is told")
	}
	wait := c.interruption(w.Patience)
	known := &knownList{orders: make(map[string]*orderv1.Order)}
	for {
		told, heard, err := c.watchListOnce(ctx, w, known)
		if told != nil {
			return told
		}
		if heard {
			wait.over()
		}
		if err = wait.wait(ctx, err); err != nil {
			return err
		}
	}
}

// watchListOnce watches until the stream ends. It returns what Each said, or whether anything was heard and why the stream ended.
func (c *Client) watchListOnce(ctx context.Context, w ListWatching, known *knownList) (told error, heard bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := c.Orders().WatchList(ctx, &orderv1.WatchListRequest{List: w.List})
	if err != nil {
		return nil, false, err
	}
	known.begin()
	for {
		answer, err := stream.Recv()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = status.Error(codes.Unavailable, "the node ended the stream, which has no end")
			}
			return nil, heard, err
		}
		heard = true
		if news := known.news(answer); news != nil {
			if told := w.Each(news); told != nil {
				return told, heard, nil
			}
		}
	}
}

// knownList is what was told of a list over all streams.
type knownList struct {
	orders      map[string]*orderv1.Order
	listed, cut bool
	// again are the orders that were told before and that the stream has not told yet: those left when it has told the whole list are gone.
	again map[string]bool
	whole bool // the stream has told the whole list
}

// begin begins with another stream, which tells the whole list.
func (k *knownList) begin() {
	k.again, k.whole = make(map[string]bool, len(k.orders)), false
	for id := range k.orders {
		k.again[id] = true
	}
}

// news returns what of an answer was not told before; nil if there is nothing.
func (k *knownList) news(answer *orderv1.WatchListResponse) *orderv1.WatchListResponse {
	news := &orderv1.WatchListResponse{Listed: answer.GetListed() && !k.listed, Cut: k.cut}
	var come []*orderv1.ListChange
	for _, change := range answer.GetChanges() {
		o := change.GetOrder()
		if o == nil {
			news.Changes = k.gone(news.GetChanges(), change.GetGoneId())
			continue
		}
		delete(k.again, o.GetId())
		if !proto.Equal(o, k.orders[o.GetId()]) {
			k.orders[o.GetId()] = o
			come = append(come, change)
		}
	}
	if answer.GetListed() {
		for id := range k.again {
			news.Changes = k.gone(news.GetChanges(), id)
		}
		k.listed, k.whole = true, true
	}
	if k.whole {
		news.Cut = answer.GetCut()
	}
	news.Changes = append(news.Changes, come...)
	if len(news.GetChanges()) == 0 && !news.GetListed() && news.GetCut() == k.cut {
		return nil
	}
	k.cut = news.GetCut()
	return news
}

// gone appends that an order is gone, if it was told.
func (k *knownList) gone(changes []*orderv1.ListChange, id string) []*orderv1.ListChange {
	delete(k.again, id)
	if k.orders[id] == nil {
		return changes
	}
	delete(k.orders, id)
	return append(changes, &orderv1.ListChange{Change: &orderv1.ListChange_GoneId{GoneId: id}})
}
