package main

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// The roles, as docs/security.md has them.
const (
	roleAdministrator = "administrator"
	roleAdapter       = "adapter"
	roleDeployer      = "deployer"
	allReaders        = "viewer submitter operator deployer"
)

func allRoles() []string { return append(strings.Fields(allReaders), roleAdministrator, roleAdapter) }

// may says who may ask for something: the roles, beside the administrator, and where they are needed: in the namespace that is asked for,
// in all, or in any.
type may struct{ roles, where string }

// The places.
const (
	there    = "there"
	anywhere = "anywhere"
	overall  = "overall"
	known    = "known"   // whoever is known
	anybody  = "anybody" // and whoever is not
)

// mayCall has every method of every service of a node, as docs/security.md tells it.
var mayCall = map[string]may{ //nolint:gochecknoglobals // a table
	"holdfast.order.v1.OrderService/Submit":       {"submitter", there},
	"holdfast.order.v1.OrderService/SubmitStream": {"submitter", there},
	"holdfast.order.v1.OrderService/Cancel":       {"submitter", there},
	"holdfast.event.v1.EventService/Publish":      {"submitter", there},
	"holdfast.order.v1.OrderService/Get":          {allReaders, there},
	"holdfast.order.v1.OrderService/List":         {allReaders, there},
	"holdfast.order.v1.OrderService/WatchList":    {allReaders, there},
	"holdfast.order.v1.OrderService/Watch":        {allReaders, there},
	"holdfast.order.v1.OrderService/History":      {allReaders, there},
	"holdfast.order.v1.OrderService/WatchOwners":  {allReaders, anywhere},

	"holdfast.definition.v1.DefinitionService/Validate":  {roleDeployer, anywhere},
	"holdfast.definition.v1.DefinitionService/Deploy":    {roleDeployer, there},
	"holdfast.definition.v1.DefinitionService/Retire":    {roleDeployer, there},
	"holdfast.definition.v1.DefinitionService/Reinstate": {roleDeployer, there},
	"holdfast.definition.v1.DefinitionService/Remove":    {roleDeployer, there},
	"holdfast.definition.v1.DefinitionService/Get":       {allReaders, there},
	"holdfast.definition.v1.DefinitionService/List":      {allReaders, there},

	"holdfast.adapter.v1.AdapterService/Connect": {roleAdapter, there},

	"holdfast.admin.v1.AdminService/ShowKey":         {allReaders, there},
	"holdfast.admin.v1.AdminService/ReleaseKey":      {"operator", there},
	"holdfast.admin.v1.AdminService/ListFallout":     {allReaders, there},
	"holdfast.admin.v1.AdminService/ShowFallout":     {allReaders, there},
	"holdfast.admin.v1.AdminService/Operate":         {"operator", there},
	"holdfast.admin.v1.AdminService/OperateAll":      {"operator", there},
	"holdfast.admin.v1.AdminService/ListActivities":  {allReaders, anywhere},
	"holdfast.admin.v1.AdminService/ListSchedules":   {allReaders, there},
	"holdfast.admin.v1.AdminService/PauseSchedule":   {"operator", there},
	"holdfast.admin.v1.AdminService/ResumeSchedule":  {"operator", there},
	"holdfast.admin.v1.AdminService/TriggerSchedule": {"operator", there},
	"holdfast.admin.v1.AdminService/Status":          {allReaders, anywhere},
	"holdfast.admin.v1.AdminService/LimitActivity":   {"operator", overall},
	"holdfast.admin.v1.AdminService/ShowCluster":     {allReaders, overall},
	"holdfast.admin.v1.AdminService/ListShards":      {allReaders, overall},
	"holdfast.admin.v1.AdminService/ShowLevel":       {allReaders, overall},
	"holdfast.admin.v1.AdminService/ShowLoss":        {allReaders, overall},
	"holdfast.admin.v1.AdminService/BackupJournal":   {"", overall},
	"holdfast.admin.v1.AdminService/DrainNode":       {"", overall},
	"holdfast.admin.v1.AdminService/Rebalance":       {"", overall},
	"holdfast.admin.v1.AdminService/RaiseLevel":      {"", overall},
	"holdfast.admin.v1.AdminService/AcceptLoss":      {"", overall},
	"holdfast.admin.v1.AdminService/ListAudit":       {"", overall},
	"holdfast.admin.v1.AdminService/ShowAuditHead":   {"", overall},

	"grpc.health.v1.Health/Check": {"", anybody},
	"grpc.health.v1.Health/Watch": {"", anybody},
	"grpc.health.v1.Health/List":  {"", anybody},

	"grpc.reflection.v1.ServerReflection/ServerReflectionInfo":      {"", known},
	"grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": {"", known},
}

// maySee has every page of the administration.
var maySee = map[string]may{ //nolint:gochecknoglobals // a table
	"/livez":               {"", anybody},
	"/readyz":              {"", anybody},
	"/metrics":             {allReaders, anywhere},
	"/debug/pprof/":        {"", overall},
	"/debug/pprof/cmdline": {"", overall},
	"/debug/pprof/heap":    {"", overall},
}

// allows tells whether a caller may ask for something in a namespace.
func (m may) allows(c *roleCaller, namespace string) bool {
	has := c.role == roleAdministrator && m.roles != roleAdapter || slices.Contains(strings.Fields(m.roles), c.role)
	switch m.where {
	case anybody:
		return true
	case known:
		return c.role != ""
	case anywhere:
		return has
	case overall:
		return has && c.everywhere
	default:
		return has && (c.everywhere || namespace == ownNamespace)
	}
}

// The namespaces: that in which callers have roles, and one of others. Of activities those of the first are granted.
const (
	ownNamespace   = "own"
	otherNamespace = "other"
)

func roleNamespaces() []string { return []string{ownNamespace, otherNamespace} }

// rolesDocument is a definition in a namespace.
func rolesDocument(namespace string) []byte {
	return fmt.Appendf(nil, "document: {dsl: 1.0.3, namespace: %s, name: w, version: 1.0.0}\ndo: [{a: {call: x.own}}]\n", namespace)
}

// rolesRequest is what is asked of a method about a namespace; nil: what an empty message asks.
func rolesRequest(method, namespace string) proto.Message {
	definition, id := namespace+"/w:1.0.0", "order-"+namespace
	submit := &orderv1.SubmitRequest{Order: &orderv1.WorkOrder{Id: "new-" + namespace, Definition: definition}}
	list, selection := &orderv1.ListRequest{Definition: definition}, &adminv1.Selection{Definition: definition}
	action := &adminv1.Action{Kind: &adminv1.Action_Suspend{Suspend: &adminv1.Suspend{}}}
	named, _, _ := strings.Cut(definition, ":")
	switch service, name, _ := strings.Cut(method, "/"); name {
	case "Get":
		if strings.Contains(service, "Definition") {
			return &definitionv1.GetRequest{Definition: definition}
		}
		return &orderv1.GetRequest{Id: id}
	case "List":
		switch {
		case strings.Contains(service, "Definition"):
			return &definitionv1.ListRequest{Namespace: namespace}
		case strings.Contains(service, "Order"):
			return list
		}
		return nil
	case "Watch":
		if strings.Contains(service, "Order") {
			return &orderv1.WatchRequest{Id: id}
		}
		return nil
	default:
		return map[string]proto.Message{
			"Submit": submit, "SubmitStream": &orderv1.SubmitStreamRequest{Submissions: []*orderv1.SubmitRequest{submit}},
			"WatchList": &orderv1.WatchListRequest{List: list}, "History": &orderv1.HistoryRequest{Id: id},
			"Publish":   &eventv1.PublishRequest{Namespace: namespace, Events: []*eventv1.Event{{Id: "1", Source: "/roles", Type: "t"}}},
			"Cancel":    &orderv1.CancelRequest{Id: "cancelled-" + namespace},
			"Deploy":    &definitionv1.DeployRequest{Document: rolesDocument(namespace)},
			"Retire":    &definitionv1.RetireRequest{Definition: definition},
			"Reinstate": &definitionv1.ReinstateRequest{Definition: definition},
			"Remove":    &definitionv1.RemoveRequest{Definition: definition},
			"Connect": &adapterv1.ConnectRequest{Hello: &adapterv1.Hello{
				Protocol: 1, Adapter: "x", Process: "p", Ledger: "l", Activities: []*adapterv1.Activity{{Name: namespace, Version: "1.0.0"}},
			}},
			"ListSchedules":   &adminv1.ListSchedulesRequest{Namespace: namespace},
			"PauseSchedule":   &adminv1.PauseScheduleRequest{Definition: named},
			"ResumeSchedule":  &adminv1.ResumeScheduleRequest{Definition: named},
			"TriggerSchedule": &adminv1.TriggerScheduleRequest{Definition: named},
			"ShowKey":         &adminv1.ShowKeyRequest{OrderKey: "key-" + namespace},
			"ReleaseKey":      &adminv1.ReleaseKeyRequest{OrderKey: "key-" + namespace},
			"ListFallout":     &adminv1.ListFalloutRequest{Selection: selection}, "ShowFallout": &adminv1.ShowFalloutRequest{Id: id},
			"Operate":    &adminv1.OperateRequest{Id: id, Action: action, DryRun: true},
			"OperateAll": &adminv1.OperateAllRequest{Selection: selection, Action: action, DryRun: true},
		}[name]
	}
}
