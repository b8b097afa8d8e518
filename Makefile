# zerostate: every target prints what it does in one line with `make help`.
SHELL   := /bin/bash
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -X main.version=$(VERSION)
PLUGINS := index-hnsw index-exact embedder-local router-qlearn executor-wasm payment-mock reputation
PARALLEL ?= $(shell nproc)
# The race detector needs a C compiler; without one the tests run without it, and say so.
RACE    := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)
GOTOOL  := go tool -modfile=tools/go.mod

.DEFAULT_GOAL := help
.PHONY: help build agents demo test check lint bench cover proto guests clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

build: ## build bin/: zerostate, one binary per plugin, the example agents, and the plugins' pins
	@mkdir -p bin
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/zerostate $(addprefix ./plugins/,$(PLUGINS))
	@$(MAKE) --no-print-directory agents
	@bin/zerostate plugin pin --build bin >/dev/null && echo "built bin/ ($(VERSION))"

agents: ## compile the example agents to WASM under bin/agents
	@cd examples && go run ./build -out ../bin/agents

demo: build ## build, then run the whole network on this machine: join, find, hire, pay, verify
	bin/zerostate demo

test: ## run every test (with the race detector where there is a C compiler)
ifeq ($(RACE),)
	@echo "note: no C compiler found, testing without the race detector"
endif
	@$(MAKE) --no-print-directory build
	ZEROSTATE_BIN=$(CURDIR)/bin go test $(RACE) -timeout 14m ./...
ifneq ($(RACE),)
	@echo "without the race detector, which would take minutes: every bit of a card and a receipt, recall over 10k vectors"
	go test -run 'EveryBit|EveryByte|RecallClustered' ./core ./plugins/index-hnsw/hnsw
endif
	cd examples && go test ./...
	cd test/interop && go test ./...

check: lint test ## everything a change must pass: format, linters, vet, tests, generated code up to date
	@$(MAKE) --no-print-directory proto
	git diff --exit-code -- api host/internal/peerpb plugin/sdk/internal/pluginpb

lint: ## formatters and linters (golangci-lint, go vet)
	go vet ./...
	$(GOTOOL) golangci-lint run ./...

bench: build ## measure find, task and guild latency on a local network
	bin/zerostate bench

cover: ## statement coverage of core, plugin/sdk and host/internal/p2p, with the floors they must keep
	go run ./test/cover

proto: ## regenerate the code of every contract under proto/
	tools/proto.sh

guests: ## rebuild the committed C guests byte for byte (needs clang, lld and wasi-libc)
	$(MAKE) -C examples/agents/c rebuild

clean: ## remove what the targets made
	rm -rf bin cover.out cover.html
