# Two commands do all: `make run` and `make test`. `make help` lists the rest.
SHELL       := bash
CACHE       := $(or $(OUTFALL_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/outfall)
STATICCHECK := $(CACHE)/bin/staticcheck-0.7.0
VERSION     := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
DATA        ?= data
RUNFLAGS    ?=
DEMOFLAGS   ?=
PEERSFLAGS  ?=
STREAMSFLAGS ?=
ENGINEFLAGS ?=
QUICK       ?=
SOAK        ?= 30m
KILLS       ?= 200
FUZZTIME    ?= 1m
EXECUTIONS  ?= 10000000
SEED        ?= $(shell date +%s)
SEEDS       ?= 1000
export OUTFALL_CACHE := $(CACHE)

.PHONY: help build run demo test check integration bench bench-gateway bench-streams bench-engine soak chaos fuzz arches sim fmt clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/outfall
	@mkdir -p bin
	go build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/outfall ./cmd/outfall

run: build ## all roles in one process on embedded Kafka and InfluxDB, with the sample registry and rules
	bin/outfall run --data $(DATA) $(RUNFLAGS)

demo: build ## second terminal: 50 simulated data loggers and the captured frames against `make run`
	bin/outfall demo --data $(DATA) $(DEMOFLAGS)

test: ## every test that needs no server, only the module proxy
	go test -count=1 ./...

check: $(STATICCHECK) ## gofmt, vet, staticcheck, import policy, tests under the race detector
	@unformatted=$$(gofmt -l $$(git ls-files -co --exclude-standard '*.go')); test -z "$$unformatted" || { echo "gofmt would change: $$unformatted"; exit 1; }
	go vet ./...
	go vet -tags integration,soak ./...
	$(STATICCHECK) ./...
	$(STATICCHECK) -tags integration,soak ./...
	go test -count=1 -race ./...

$(STATICCHECK):
	@mkdir -p $(@D)
	GOBIN=$(@D)/.new go install honnef.co/go/tools/cmd/staticcheck@v0.7.0 && mv $(@D)/.new/staticcheck $@

integration: build ## tests on real Kafka 4.3.1, InfluxDB 1.8.10 and 2.7.12 and an S3 service, fetched and built once into the cache
	deploy/local/integration.sh

arches: ## the fold's golden test on amd64, arm64, riscv64 and loong64, under qemu-user
	deploy/local/arches.sh

bench: ## benchmarks: decode, TCP to ack, fold, sink, frame to alert (COUNT=10 for benchstat)
	go test -run='^$$' -bench=. -benchmem -count=$(or $(COUNT),1) ./ingest/... ./stream/... ./sinks/... ./internal/broker
	go test -run='^$$' -bench=AlertLatency -benchtime=1000x -count=$(or $(COUNT),1) ./cmd/outfall

bench-gateway: ## the gateway against a C server and others, under 10 minutes; needs cc, two quiet cores, 20,000 files (PEERSFLAGS=-quick: rough)
	@go run ./bench/peers $(PEERSFLAGS)

bench-streams: ## the stream worker against goka and Kafka Streams on real Kafka, 35 minutes; needs java 17, mvn, two quiet cores (QUICK=1: rough)
	@go run ./bench/streams $(if $(QUICK),-quick) $(STREAMSFLAGS)

bench-engine: ## the stream engine as it is installed: alarms, restart, replay, drain; a quarter of an hour, java 17, two quiet cores (QUICK=1: rough, 3 min)
	@go run ./bench/engine $(if $(QUICK),-quick) $(ENGINEFLAGS)

sim: ## the whole pipeline in virtual time under 1,000 seeds of faults, a few minutes (SEEDS=50; FIRST=1001: others)
	go test -tags synctests -count=1 -timeout 2h -v -run '^TestSeeds$$' ./internal/sim -seeds $(SEEDS) -first $(or $(FIRST),1) | grep -v '^=== \|^ *--- PASS'; exit $${PIPESTATUS[0]}

soak: ## 15,000 loggers with every fault on for 30 minutes (SOAK=5m or more), then the books; needs 20,000 files
	OUTFALL_TEST_SOAK=$(SOAK) go test -tags 'integration soak' -count=1 -timeout 24h -v -run '^TestSoak$$' ./cmd/outfall

chaos: ## 200 kill -9 of everything in one process, and 200 of processes and nodes on a three-node Kafka, under load (KILLS=20 SEED=n), then the books
	KILLS=$(KILLS) SEED=$(SEED) deploy/local/chaos.sh

# Minimising each input that reaches new code would take most of the time of `-fuzz`, up to a minute for one: ten executions must do.
fuzz: ## the codec's equalities on random input (EXECUTIONS=100000000 SEED=n), then each fuzz target for a minute (FUZZTIME=1h)
	GOGC=2000 OUTFALL_TEST_EXECUTIONS=$(EXECUTIONS) OUTFALL_TEST_SEED=$(SEED) go test -count=1 -timeout 24h -v -run '^TestRandom$$' ./ingest/hj212
	@set -e; for dir in $$(grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u); do \
		for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$dir/*_test.go | cut -c6-); do \
			echo "== $$dir $$target"; go test -run='^$$' -fuzz="^$$target\$$" -fuzztime=$(FUZZTIME) -fuzzminimizetime=10x $$dir; \
		done; \
	done

fmt: ## gofmt everything
	gofmt -w $$(git ls-files -co --exclude-standard '*.go')

clean: ## remove what was built here (the cache and the data directory stay)
	rm -rf bin
