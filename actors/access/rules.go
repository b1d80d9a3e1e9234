package access

import (
	"fmt"

	"google.golang.org/grpc/health/grpc_health_v1"

	"github.com/holdfast-run/holdfast/messages"
	"github.com/holdfast-run/holdfast/messages/adapterv1"
	"github.com/holdfast-run/holdfast/messages/adminv1"
	"github.com/holdfast-run/holdfast/messages/definitionv1"
	"github.com/holdfast-run/holdfast/messages/eventv1"
	"github.com/holdfast-run/holdfast/messages/orderv1"
)

// Scope says in which namespaces a caller needs the role of a rule.
type Scope int

// The scopes.
const (
	// Anybody: anybody may, and is not asked who he is.
	Anybody Scope = iota
	// Known: anybody who is known.
	Known
	// Any: in any namespace. What is told is the node's, or is taken from the namespaces of the caller.
	Any
	// All: in all namespaces, as what is done is not in one.
	All
	// OfDefinition: in that of the definition that the request names.
	OfDefinition
	// OfOrder: in that of the order that the request names.
	OfOrder
	// OfKey: in those of all orders that are queued at the order key that the request names.
	OfKey
	// Listed: in that of the definition, or the namespace itself, if the request names one; else in any, and what is listed is taken from
	// those in which the caller has it.
	Listed
	// Carried: in those of what the messages of a stream, or the document of a request, carry: whoever serves it decides of each by Require.
	Carried
)

// Rule says who may call a method, or see a page.
type Rule struct {
	Role  Role
	Scope Scope
}

// The pages of the administration, and reflection.
const (
	Livez    = "/livez"
	Readyz   = "/readyz"
	Metrics  = "/metrics"
	Profiles = "/debug/pprof/"
	Faults   = "/faults" // it and what is below are in builds for tests alone
	// FaultsBelow is what is below.
	FaultsBelow = "/faults/"

	reflectionV1      = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"
	reflectionV1Alpha = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
)

// rules has every method of every service of a node, and every page of its administration.
var rules = map[string]Rule{ //nolint:gochecknoglobals // a table
	orderv1.OrderService_Submit_FullMethodName:       {Submitter, OfDefinition},
	orderv1.OrderService_SubmitStream_FullMethodName: {Submitter, Carried},
	orderv1.OrderService_Get_FullMethodName:          {Viewer, OfOrder},
	orderv1.OrderService_List_FullMethodName:         {Viewer, Listed},
	orderv1.OrderService_WatchList_FullMethodName:    {Viewer, Listed},
	orderv1.OrderService_Watch_FullMethodName:        {Viewer, OfOrder},
	orderv1.OrderService_History_FullMethodName:      {Viewer, OfOrder},
	orderv1.OrderService_Cancel_FullMethodName:       {Submitter, OfOrder},
	orderv1.OrderService_WatchOwners_FullMethodName:  {Viewer, Any},

	definitionv1.DefinitionService_Validate_FullMethodName:  {Deployer, Any},
	definitionv1.DefinitionService_Deploy_FullMethodName:    {Deployer, Carried},
	definitionv1.DefinitionService_Get_FullMethodName:       {Viewer, OfDefinition},
	definitionv1.DefinitionService_List_FullMethodName:      {Viewer, Listed},
	definitionv1.DefinitionService_Retire_FullMethodName:    {Deployer, OfDefinition},
	definitionv1.DefinitionService_Reinstate_FullMethodName: {Deployer, OfDefinition},
	definitionv1.DefinitionService_Remove_FullMethodName:    {Deployer, OfDefinition},

	eventv1.EventService_Publish_FullMethodName: {Submitter, Listed},

	adapterv1.AdapterService_Connect_FullMethodName: {Adapter, Carried},

	adminv1.AdminService_ShowKey_FullMethodName:         {Viewer, OfKey},
	adminv1.AdminService_ReleaseKey_FullMethodName:      {Operator, OfKey},
	adminv1.AdminService_ListFallout_FullMethodName:     {Viewer, Listed},
	adminv1.AdminService_ShowFallout_FullMethodName:     {Viewer, OfOrder},
	adminv1.AdminService_Operate_FullMethodName:         {Operator, OfOrder},
	adminv1.AdminService_OperateAll_FullMethodName:      {Operator, Listed},
	adminv1.AdminService_ListActivities_FullMethodName:  {Viewer, Any},
	adminv1.AdminService_LimitActivity_FullMethodName:   {Operator, All},
	adminv1.AdminService_ListSchedules_FullMethodName:   {Viewer, Listed},
	adminv1.AdminService_PauseSchedule_FullMethodName:   {Operator, OfDefinition},
	adminv1.AdminService_ResumeSchedule_FullMethodName:  {Operator, OfDefinition},
	adminv1.AdminService_TriggerSchedule_FullMethodName: {Operator, OfDefinition},
	adminv1.AdminService_Status_FullMethodName:          {Viewer, Any},
	adminv1.AdminService_ShowCluster_FullMethodName:     {Viewer, All},
	adminv1.AdminService_BackupJournal_FullMethodName:   {Administrator, All},
	adminv1.AdminService_DrainNode_FullMethodName:       {Administrator, All},
	adminv1.AdminService_Rebalance_FullMethodName:       {Administrator, All},
	adminv1.AdminService_ListShards_FullMethodName:      {Viewer, All},
	adminv1.AdminService_ShowLevel_FullMethodName:       {Viewer, All},
	adminv1.AdminService_RaiseLevel_FullMethodName:      {Administrator, All},
	adminv1.AdminService_ShowLoss_FullMethodName:        {Viewer, All},
	adminv1.AdminService_AcceptLoss_FullMethodName:      {Administrator, All},
	// The audit tells of all namespaces, and of whoever was refused: it is for those alone who answer for the node.
	adminv1.AdminService_ListAudit_FullMethodName:     {Administrator, All},
	adminv1.AdminService_ShowAuditHead_FullMethodName: {Administrator, All},

	grpc_health_v1.Health_Check_FullMethodName: {"", Anybody},
	grpc_health_v1.Health_Watch_FullMethodName: {"", Anybody},
	grpc_health_v1.Health_List_FullMethodName:  {"", Anybody},
	reflectionV1:      {"", Known},
	reflectionV1Alpha: {"", Known},

	Livez:       {"", Anybody},
	Readyz:      {"", Anybody},
	Metrics:     {Viewer, Any},
	Profiles:    {Administrator, All},
	Faults:      {Administrator, All},
	FaultsBelow: {Administrator, All},
}

// RuleOf returns the rule of a method, or of a page; false: there is none, and nobody may.
func RuleOf(what string) (Rule, bool) {
	r, known := rules[what]
	return r, known
}

// DeniedError says which role a caller lacks.
type DeniedError struct {
	Caller *Caller
	Role   Role
	// Namespace is the one in which it is missing; Everywhere: it is needed in all; empty: it is missing in each.
	Namespace string
	// Activity is the one that the caller may not serve, or not have called by a definition; empty: it is not about one.
	Activity string
}

// Error implements error.
func (e *DeniedError) Error() string {
	where := " in the namespace " + e.Namespace
	switch {
	case e.Role == "":
		return e.Caller.String() + " may not do this: nobody may"
	case e.Role == Adapter || e.Namespace == "":
		where = ""
	case e.Namespace == Everywhere:
		where = " in all namespaces (*)"
	}
	if e.Activity != "" {
		where += " with the activity " + e.Activity
	}
	return fmt.Sprintf("%s lacks the role %s%s", e.Caller, e.Role, where)
}

// Require says that a caller lacks a role in a namespace, or in all if it is Everywhere, or in each if it is empty; nil: it has it.
func (c *Caller) Require(role Role, namespace string) error {
	if namespace == "" && c.MayAnywhere(role) || namespace != "" && c.May(role, namespace) {
		return nil
	}
	return &DeniedError{Caller: c, Role: role, Namespace: namespace}
}

// NamespaceOf returns the namespace of a definition as it is named, namespace/name:version; empty if it is not of that form.
func NamespaceOf(definition string) string {
	ref, err := messages.ParseDefinitionRef(definition)
	if err != nil {
		return ""
	}
	return ref.Namespace
}

// Page says what a caller lacks to see a page of the administration; nil: it may.
func Page(c *Caller, path string) error {
	switch r, known := RuleOf(path); {
	case !known:
		return &DeniedError{Caller: c}
	case r.Scope == All:
		return c.Require(r.Role, Everywhere)
	default:
		return c.Require(r.Role, "")
	}
}
