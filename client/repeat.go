package client

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// repetition says whether a call may be carried out twice, given its request, and why.
type repetition struct {
	harmless func(request any) bool
	why      string
}

func always(any) bool { return true }
func never(any) bool  { return false }

// repetitions says of every method of the nodes' services whether a call is repeated whose answer may have been lost.
var repetitions = map[string]repetition{ //nolint:gochecknoglobals // a table
	orderv1.OrderService_Submit_FullMethodName: {
		always, "the id: the same order is accepted once, and each time answered the same",
	},
	orderv1.OrderService_SubmitStream_FullMethodName: {never, "a Submitter opens another stream, and submits again what was not answered"},
	orderv1.OrderService_Get_FullMethodName:          {always, "it reads"},
	orderv1.OrderService_List_FullMethodName:         {always, "it reads"},
	orderv1.OrderService_WatchList_FullMethodName:    {never, "WatchList opens another stream, and tells what has changed since"},
	orderv1.OrderService_Watch_FullMethodName:        {never, "Watch opens another stream, from the version on that comes next"},
	orderv1.OrderService_History_FullMethodName:      {always, "it reads"},
	orderv1.OrderService_WatchOwners_FullMethodName:  {never, "the client opens another stream by itself"},
	orderv1.OrderService_Cancel_FullMethodName: {
		always, "an order that is being cancelled, or is cancelled, stays so",
	},

	definitionv1.DefinitionService_Validate_FullMethodName:  {always, "it keeps nothing"},
	definitionv1.DefinitionService_Deploy_FullMethodName:    {always, "the version: the same document is deployed once"},
	definitionv1.DefinitionService_Get_FullMethodName:       {always, "it reads"},
	definitionv1.DefinitionService_List_FullMethodName:      {always, "it reads"},
	definitionv1.DefinitionService_Retire_FullMethodName:    {always, "what is retired stays so"},
	definitionv1.DefinitionService_Reinstate_FullMethodName: {always, "what is in use stays so"},
	definitionv1.DefinitionService_Remove_FullMethodName:    {always, "what is removed stays so"},

	eventv1.EventService_Publish_FullMethodName: {always, "source and id: the same event is published once"},

	adminv1.AdminService_ShowKey_FullMethodName: {always, "it reads"},
	adminv1.AdminService_ReleaseKey_FullMethodName: {
		func(request any) bool { r, ok := request.(*adminv1.ReleaseKeyRequest); return ok && r.GetId() != "" },
		"only if it names the order: else the next one of the key might be released, too",
	},
	adminv1.AdminService_ListFallout_FullMethodName: {always, "it reads"},
	adminv1.AdminService_ShowFallout_FullMethodName: {always, "it reads"},
	adminv1.AdminService_Operate_FullMethodName: {
		func(request any) bool { r, ok := request.(*adminv1.OperateRequest); return ok && r.GetDryRun() },
		"only a dry run: an order that was retried, and has faulted again since, would be retried twice",
	},
	adminv1.AdminService_OperateAll_FullMethodName:     {never, "a stream of outcomes: whoever asked decides whether to ask again"},
	adminv1.AdminService_ListActivities_FullMethodName: {always, "it reads"},
	adminv1.AdminService_LimitActivity_FullMethodName:  {always, "it says what the limit is, not by how much it changes"},
	adminv1.AdminService_ListSchedules_FullMethodName:  {always, "it reads"},
	adminv1.AdminService_PauseSchedule_FullMethodName:  {always, "what is paused stays so"},
	adminv1.AdminService_ResumeSchedule_FullMethodName: {always, "what is not paused stays so"},
	adminv1.AdminService_TriggerSchedule_FullMethodName: {
		func(request any) bool {
			r, ok := request.(*adminv1.TriggerScheduleRequest)
			return ok && r.GetOrderId() != ""
		},
		"only with the id of the order: there is one order of an id",
	},
	adminv1.AdminService_Status_FullMethodName:        {always, "it reads"},
	adminv1.AdminService_ShowCluster_FullMethodName:   {always, "it reads"},
	adminv1.AdminService_BackupJournal_FullMethodName: {never, "the folder is not empty any more"},
	adminv1.AdminService_ListShards_FullMethodName:    {always, "it reads"},
	adminv1.AdminService_ShowLevel_FullMethodName:     {always, "it reads"},
	adminv1.AdminService_RaiseLevel_FullMethodName:    {always, "the level: a journal that has it already stays as it is"},
	adminv1.AdminService_Rebalance_FullMethodName:     {always, "what is where it is to be stays there"},
	adminv1.AdminService_ShowLoss_FullMethodName:      {always, "it reads"},
	adminv1.AdminService_ListAudit_FullMethodName:     {always, "it reads"},
	adminv1.AdminService_ShowAuditHead_FullMethodName: {always, "it reads"},
	adminv1.AdminService_AcceptLoss_FullMethodName:    {always, "the word: what was accepted with it is accepted once"},
	adminv1.AdminService_DrainNode_FullMethodName: {
		func(request any) bool { r, ok := request.(*adminv1.DrainNodeRequest); return ok && r.GetNode() != "" },
		"only if it names the node: else another one might be drained, too",
	},
}

// repeated makes a call, and makes it again as repetitions says and patience allows.
func (c *Client) repeated(
	ctx context.Context, method string, request, answer any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	var patience Patience
	for _, o := range opts {
		if own, ok := o.(patient); ok {
			patience = own.patience
		}
	}
	owner := c.owners.serves(request)
	try := func() error {
		ctx := toward(ctx, target{address: owner})
		if _, bounded := ctx.Deadline(); !bounded && c.config.CallTimeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, c.config.CallTimeout)
			defer cancel()
		}
		return invoke(ctx, method, request, answer, conn, opts...)
	}
	if r, known := repetitions[method]; !known || !r.harmless(request) {
		return try()
	}
	wait := c.interruption(patience)
	for others := len(c.config.Addresses) - 1; ; others-- {
		err := try()
		if err == nil {
			return nil
		}
		if codeOf(err) == codes.Unavailable && ctx.Err() == nil {
			if owner != "" {
				owner = ""
				others++
			}
			if others > 0 {
				continue // another node is asked
			}
		}
		if err = wait.wait(ctx, err); err != nil {
			return err
		}
	}
}
