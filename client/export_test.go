package client

// AwaitOwners waits until a node has told who owns what.
func (c *Client) AwaitOwners() {
	for {
		nodes, changed := c.owners.news()
		if nodes != nil {
			return
		}
		<-changed
	}
}
