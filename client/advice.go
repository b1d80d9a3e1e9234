package client

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/holdfast-run/holdfast/certificates"
	"github.com/holdfast-run/holdfast/tokens"
)

// Asked says whom a call went to, for advice.
type Asked struct {
	// Addresses of the nodes, and Setting what gives them, such as --server or HOLDFAST_SERVER.
	Addresses []string
	Setting   string
	// Trust is what gives the authorities that nodes are trusted by, such as --ca, Name what gives the name in their certificates, and Own
	// what gives the certificate that is shown to them.
	Trust, Name, Own string
}

// Advice says what a person can do about an error of any call; empty if there is nothing to say.
func Advice(err error, asked Asked) string {
	st, isAnswer := StatusOf(err)
	if !isAnswer {
		return ""
	}
	nodes := strings.Join(asked.Addresses, ", ")
	switch st.Code() {
	case codes.Unavailable:
		if advice := adviceOnTLS(st.Message(), nodes, asked); advice != "" {
			return advice
		}
		return "No node answers at " + nodes + ". Start one with 'holdfast dev' or 'holdfast node', or say where they are with " +
			asked.Setting + "."
	case codes.PermissionDenied:
		return "Whoever keeps the file of the nodes' --access can grant that role, within seconds."
	case codes.Unauthenticated:
		switch {
		case strings.Contains(st.Message(), tokens.ErrPlaintext.Error()):
			return "Say with " + asked.Trust + " how the connection is secured; or give --token-anyway, if something else secures the way."
		case strings.Contains(st.Message(), tokens.ErrExpired.Error()):
			return "Log in again with 'holdfast login', or forget it with 'holdfast logout'."
		case Reason(err) == "UNKNOWN_CALLER":
			return "Give a token with --token-file or HOLDFAST_TOKEN, or log in with 'holdfast login', or give a certificate, and its key, with " +
				asked.Own + "."
		}
		return "Give a certificate, and its key, with " + asked.Own + "."
	case codes.DeadlineExceeded:
		return "Give it longer with --timeout."
	case codes.ResourceExhausted:
		if len(st.Details()) == 0 { // gRPC itself says so, and not a node: a message is too large
			return "What was sent or answered is larger than the other side takes: the node's limits are its --max-input and " +
				"--max-output, and what this client takes is 64 MiB."
		}
		return "The node has no room for it now. Try again later."
	case codes.Unimplemented:
		return "The node at " + nodes + " doesn't know this call: it has another version than this client, or it is no Holdfast node."
	case codes.Internal, codes.Unknown, codes.DataLoss:
		return "The node's log says more."
	default:
		return ""
	}
}

// adviceOnTLS says what to do about two ends of a connection that do not agree how it is secured; empty if it is not about that.
func adviceOnTLS(message, nodes string, asked Asked) string {
	for _, a := range []struct{ part, advice string }{
		{certificates.ErrNeedsTLS.Error(), "Say with " + asked.Trust + " which authority has signed the certificate of " + nodes + "."},
		{
			certificates.ErrNoTLS.Error(),
			"Leave " + asked.Trust + " away, if what goes to " + nodes + " may be read on the way; or start the node with a certificate.",
		},
		{"tls: certificate required", "The node asks who you are: give a certificate, and its key, with " + asked.Own + "."},
		{
			"remote error: tls:",
			"The node does not take the certificate that it was shown: give one that an authority of its clients has signed, with " +
				asked.Own + ".",
		},
		{
			"x509: certificate signed by unknown authority",
			"Say with " + asked.Trust + " which authority has signed the certificate of " + nodes + "; or something else than the node is there.",
		},
		{
			"tls: failed to verify certificate",
			"The certificate of " + nodes + " is not good: if it has another name, ask for the node by that, or give it with " + asked.Name + ".",
		},
	} {
		if strings.Contains(message, a.part) {
			return a.advice
		}
	}
	return ""
}

// AdviceOnSubmit says what to do about an order that was not acknowledged; empty if nothing of it was kept, and the error says why.
func AdviceOnSubmit(id string, err error) string {
	st, isAnswer := StatusOf(err)
	switch {
	case !isAnswer && !errors.Is(err, context.DeadlineExceeded):
		return ""
	case st.Code() == codes.AlreadyExists:
		return fmt.Sprintf("Something else was accepted as %[1]s before. See what, before you submit anything: holdfast order get %[1]s. "+
			"The same work under another id would be done a second time.", id)
	case st.Code() == codes.InvalidArgument, st.Code() == codes.NotFound, st.Code() == codes.Unimplemented,
		st.Code() == codes.FailedPrecondition:
		return ""
	case st.Code() == codes.ResourceExhausted && len(st.Details()) > 0: // it is a node that says so, and has no room
		return fmt.Sprintf("Submit it again later, with --id %s, which does no harm if it was accepted.", id)
	default:
		return fmt.Sprintf("The order may have been accepted. Submit it again with --id %[1]s, which does no harm, or look with: "+
			"holdfast order get %[1]s", id)
	}
}

// AdviceOnOperation says what to do if an operation on an order was refused; empty if the error says it all.
func AdviceOnOperation(id string, err error) string {
	switch Reason(err) {
	case "ORDER_NOT_FAULTED":
		return fmt.Sprintf("See how order %[1]s stands with: holdfast order get %[1]s", id)
	case "DEADLINE_PASSED":
		return "Give it a new one with --deadline, such as --deadline 1h"
	}
	return ""
}

// AdviceOnDeploy says what to do about a document that was not deployed; empty if the error says it all.
func AdviceOnDeploy(err error) string {
	if codeOf(err) == codes.AlreadyExists {
		return "Give the changed document a new version."
	}
	return ""
}
