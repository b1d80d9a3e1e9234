package shown

import "github.com/holdfast-run/holdfast/messages/orderv1"

// ListChange is news of a list that is watched. One of Order, GoneID and Listed is set.
type ListChange struct {
	// Order is in the list, and stands so.
	Order *Listed `json:"order,omitempty"`
	// GoneID is the id of an order that is not in the list any more.
	GoneID string `json:"gone_id,omitempty"`
	// Listed: all was told that was in the list when the watching began. Cut: the list was as long as it may be, and older orders
	// may match.
	Listed bool `json:"listed,omitempty"`
	Cut    bool `json:"cut,omitempty"`
}

// ListChangesOf makes the forms of the news of a list, in their order.
func ListChangesOf(news *orderv1.WatchListResponse) []ListChange {
	var out []ListChange
	for _, c := range news.GetChanges() {
		if o := c.GetOrder(); o != nil {
			listed := ListedOf(o)
			out = append(out, ListChange{Order: &listed})
		} else {
			out = append(out, ListChange{GoneID: c.GetGoneId()})
		}
	}
	if news.GetListed() {
		out = append(out, ListChange{Listed: true, Cut: news.GetCut()})
	}
	return out
}
