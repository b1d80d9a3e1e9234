//go:build !faults

package main

import (
	"net/http"

	"github.com/holdfast-run/holdfast/persistence"
	"github.com/holdfast-run/holdfast/persistence/pebble"
)

// A release has no faults to inject: see faults_on.go.

func faultsEndpoint(map[string]http.Handler) {}

func faultyJournal(*pebble.Config) {}

func seenJournal(j persistence.Journal) persistence.Journal { return j }
