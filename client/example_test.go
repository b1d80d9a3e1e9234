package client_test

import (
	"context"
	"log"

	"github.com/holdfast-run/holdfast/client"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

func Example() {
	ctx := context.Background()
	c, err := client.New(client.Config{Addresses: []string{"node-1:7460", "node-2:7460"}})
	if err != nil {
		log.Print(err)
		return
	}
	defer func() { _ = c.Close() }()
	answer, err := c.Orders().Submit(ctx, &orderv1.SubmitRequest{
		Order: &orderv1.WorkOrder{Id: "A-1", Definition: "telecom/activate:1.0.0", Input: []byte(`{"msisdn":"491701234567"}`)},
	})
	if err != nil {
		log.Print(client.AdviceOnSubmit("A-1", err))
		return
	}
	order, err := c.Watch(ctx, client.Watching{ID: answer.GetOrder().GetId(), Each: func(ev *orderv1.HistoryEvent) error {
		log.Println(ev.GetVersion(), ev.GetType(), ev.GetTask())
		return nil
	}})
	log.Println(order.GetStatus(), err)
}

func ExampleClient_NewSubmitter() {
	submit := func(ctx context.Context, c *client.Client, orders []*orderv1.WorkOrder) error {
		s := c.NewSubmitter(ctx, client.Submitting{})
		for _, order := range orders {
			err := s.Submit(ctx, &orderv1.SubmitRequest{Order: order, Wait: orderv1.Wait_WAIT_ENDED}, func(a client.Answer) {
				if a.Last {
					log.Println(order.GetId(), a.Submission.GetEnded().GetStatus(), a.Submission.GetRefused().GetMessage(), a.Err)
				}
			})
			if err != nil {
				return err
			}
		}
		return s.Close() // once all have their answers
	}
	_ = submit
}
