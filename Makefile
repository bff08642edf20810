# Carillon: two commands to know are `make up` and `make test`. `make help` lists the rest.

CARGO    ?= cargo
GATEWAYS ?= 2
UP       ?=
BENCH    ?=
CROWD    ?= 5000
MINUTES  ?= 60
LATE_MS  ?= 400
DRILL    ?=
BROWSERS ?=
CLIENTS  ?=
PROXIES  ?=
VERSIONS ?=
DIST     ?=
FAULT    ?=
SEED     ?=
TIMES    ?= 1

RELEASE := target/release/carillon

.DEFAULT_GOAL := help
.PHONY: bench scale bench-page bench-peers help up down status reset debug install test unit interop conformance fuzz simulate outbox archive-s3 retention versions check pages fmt build late \
  chart chart-cluster compose dist deny image licences proof reproducible sbom observability loadtest drill hostile flapping generators clients socketio socketio-jitter proxies web web-pace browsers runtimes nextjs

help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

up: build ## Start everything on this machine; installs Postgres, Redis and HAProxy if needed (GATEWAYS=3, UP="--detach").
	@$(RELEASE) up --gateways $(GATEWAYS) $(UP)

down: ## Stop what `make up` started; data stays.
	@if test -x $(RELEASE); then $(RELEASE) down; else echo "nothing is running"; fi

status: ## Say what runs and whether it is ready.
	@$(RELEASE) status

reset: ## Stop everything and delete its data.
	@$(RELEASE) reset

build: ## Build the release binaries.
	$(CARGO) build --release --workspace --exclude carillon-goose --bins --locked

# Binaries and tests in one build: built apart they want libraries with other features, and those compile twice.
debug: ## Build the debug binaries and the tests.
	$(CARGO) build --workspace --bins --tests --locked

install: debug ## Install the servers that are missing (needs root and apt).
	target/debug/carillon install
	devstack/versions/fetch.sh 18 >/dev/null
	deploy/envoy/fetch.sh >/dev/null

test: unit interop web ## Run every test: unit, property, system with real servers, foreign clients, and the libraries for pages.

unit: install ## Build the services and run the Rust tests against real Postgres, Redis and HAProxy.
	CARGO="$(CARGO)" devstack/in_memory.sh devstack/test.sh

interop: debug ## Let WebSocket clients that nobody here wrote use a running stack.
	devstack/in_memory.sh loadtest/interop/run.sh

web: debug ## Install, build, check and test the libraries for pages, against a running stack, too (Node 20.19 or newer).
	devstack/in_memory.sh web/run.sh

browsers: debug ## Let the client keep its promises in Chromium, Firefox ESR and WebKitGTK, at real gateways (after `make web`; root and apt; five minutes; BROWSERS=firefox for one).
	web/browsers/run.sh $(BROWSERS)

web-pace: debug ## Ask of a machine with nothing else to do: the live tail draws 50 frames a second of 5,000 events a second, and a tab hands over within 300 ms (after `make web`; a minute).
	cd web && CARILLON_QUIET=1 npx vitest run client/test/tabs.test.ts console/test/console.test.ts -t "hands over by its lock|5,000 events a second"

runtimes: debug ## Let the client and the server library keep their promises in Bun, Deno, the newest Node and a Worker, at real gateways (after `make web`; npm; half a minute).
	web/runtimes/run.sh

nextjs: debug ## Build an application of the newest Next.js with the hooks, and look at its pages as rendered and in Chromium (after `make web`; npm; two minutes).
	web/nextjs/run.sh

generators: debug ## Let generators make clients of /openapi.json, compile and run them, and write docs/GENERATORS.md (Node, Python, Maven, Go; a quarter of an hour).
	loadtest/generators/run.sh

clients: debug ## Let some sixty clients of WebSockets and twenty-six of event streams use a running stack, and write docs/CLIENTS.md (root and apt; first run half an hour; CLIENTS="streams Jetty").
	loadtest/clients/run.sh $(CLIENTS)

socketio: debug ## Let clients of Socket.IO in five languages use a running stack, and write docs/SOCKETIO.md (Node, Python, Maven, Go; first run a quarter of an hour; SOCKETIO="Java Go").
	loadtest/socketio/run.sh $(SOCKETIO)

socketio-jitter: build ## Let 10,000 unchanged clients of Socket.IO lose their line for 2 s in every 15, and count what each has got (Node; four minutes, six at most; JITTER="2000 60" for fewer).
	loadtest/socketio/jitter.sh $(JITTER)

proxies: debug ## Let seven proxies (HAProxy in three versions) with their files of deploy/ stand before whole systems, three caches too, and write docs/PROXIES.md (root and apt, Go; ten minutes after the first run; PROXIES="Caddy nginx").
	loadtest/proxies/run.sh $(PROXIES)

conformance: ## Run the Autobahn test suite against the codec (needs a CPython 2.7; PYTHON27=path).
	loadtest/conformance/run.sh

versions: debug ## Run migrations, the log and whole systems with Postgres 15 to 18, as superuser and as the documented logins, and write docs/COMPATIBILITY.md (needs npm and Maven; three quarters of an hour; VERSIONS="18.6 installed" for some).
	devstack/versions/run.sh $(VERSIONS)

outbox: ## Let an application begin 100,000 transactions that publish, a fifth rolled back, while publishers and Postgres are killed (a quarter of an hour).
	CARILLON_OUTBOX_TRANSACTIONS=100000 $(CARGO) test -p carillon-devstack --test outbox --locked -- --nocapture

archive-s3: debug ## Let publishers archive days into a server that speaks S3 (moto, from the Python registry) while they are killed, and read all of it back.
	loadtest/archive/s3.sh

retention: ## Open, read, search and write a log of ten years: 4,000 partitions in a Postgres with its default limits (some minutes).
	CARILLON_RETENTION_PARTITIONS=4000 $(CARGO) test -p carillon-backplane --test long_retention --locked -- --test-threads=1

late: debug ## Run the system tests while Redis tells services everything LATE_MS=400 later: no test may take for granted that a node knows already.
	CARILLON_TEST_REDIS_LATE_MS=$(LATE_MS) $(CARGO) test -p carillon-devstack --locked

simulate: ## Let everything happen to a shard, by seeds, for MINUTES=60 on every core; a failure prints its seed and the shortest way to it.
	CARILLON_SIMULATION_MINUTES=$(MINUTES) $(CARGO) test --profile simulation -p carillon-gateway --lib --locked simulation -- --nocapture

proof: ## Do faults to a whole system and check that every promise is kept; all of them take half an hour (FAULT=F12,F13 SEED=7 TIMES=3 MINUTES=60), and write docs/PROOF.md.
	$(CARGO) build --locked --bins -p carillon-gateway -p carillon-publisher -p carillon-devstack
	target/debug/carillon-proof $(if $(FAULT),--fault $(FAULT)) $(if $(SEED),--seed $(SEED)) --times $(TIMES) --minutes $(MINUTES) --commit "$$(git describe --always --dirty)"

fuzz: ## Look for hostile inputs with libFuzzer, MINUTES=60 in all, on every core.
	devstack/fuzz/run.sh run $(MINUTES)

chart: ## Verify the Helm chart: both Helms, every value set, every Kubernetes since 1.29 (needs Go; first run ten minutes).
	helm/verify.sh

compose: ## Let Docker Compose, built from its Go module, read deploy/compose.yaml; no Docker (needs Go; first run five minutes).
	deploy/verify-compose.sh

chart-cluster: ## Install, upgrade, roll back, evict and test the chart in a real control plane with kwok's nodes (needs Go; builds it once, long).
	helm/cluster.sh

image: build ## Build the container images without a registry and run them confined (needs root and apt).
	deploy/verify-image.sh

dist: ## Make one archive for hosts without containers: static programs, systemd units, checksums (DIST=--verify tries it in a bare Debian).
	CARGO="$(CARGO)" deploy/dist.sh $(DIST)

observability: build ## Check rules, alerts and dashboards, on paper and against a running system scraped by Prometheus.
	loadtest/observability/verify.sh

loadtest: build ## Run the k6 scripts and the goose attack, short (needs Go once, for k6).
	$(CARGO) build --release -p carillon-goose --locked
	loadtest/loadtest.sh

drill: build ## Restart three gateways twice under 3,000 clients, then add one; half an hour (DRILL="--clients 500").
	$(RELEASE) drill rolling $(DRILL)
	$(RELEASE) drill scale-out $(DRILL)

flapping: debug ## Let CROWD=5000 people come and go at three gateways, and compare every list with the truth; some minutes.
	CARILLON_TEST_FLAPPING=$(CROWD) $(CARGO) test --workspace --locked --test presence -- --nocapture after_a_crowd

hostile: build ## Let one holder take all it can get, in eighteen ways, and measure what others feel; seven minutes (DRILL="--only import").
	$(RELEASE) drill hostile $(DRILL)

licences: ## Write docs/LICENCES.md anew: what is shipped, and under which licence.
	UPDATE_PAGES=1 $(CARGO) test --locked -p carillon-devstack --test licences

sbom: ## Write what is in each image, archive and npm package as CycloneDX into target/sbom, and check it against the schema (Python; fetches a library once).
	deploy/sbom.sh

deny: ## Look for advisories, licences, sources and bans with cargo-deny, which is built once (ten minutes; says where advisories cannot be had).
	deploy/deny.sh

reproducible: ## Build the services twice in different folders and compare the programs (half an hour).
	deploy/reproducible.sh

bench: build ## Measure everything beside its floor, some twenty minutes (BENCH=--quick for four): table, JSON and SVG in target/bench.
	$(CARGO) build --release -p carillon-backplane --example append_floor --example inbox_floor --example outbox_rate -p carillon-publisher --example archive_rate --locked
	@target/release/carillon-loadtest bench --out target/bench --commit "$$(git describe --always --dirty)" $(BENCH)

scale: ## Work out what large installations need from docs/scale/bench.json, and write docs/SCALE.md and its plot.
	$(CARGO) run --quiet -p carillon-loadtest --locked -- scale --write docs

bench-peers: build ## Measure Carillon beside Socket.IO, uWebSockets, socketioxide and NATS, a quarter of an hour (BENCH=--quick for four minutes).
	loadtest/peers/run.sh $(BENCH)

bench-page: ## Measure how long a page's main thread is busy with 10,000 events, beside centrifuge-js, and write it into docs/PEERS.md (after `make web`; a minute).
	cd web && node bench/main-thread.mjs --page

check: ## Format and lints, as the gate runs them.
	$(CARGO) fmt --all -- --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

pages: ## Write docs/CONFIGURATION.md and docs/METRICS.md anew from the declarations.
	UPDATE_PAGES=1 $(CARGO) test --workspace --locked --test reference_page

fmt: ## Format the code.
	$(CARGO) fmt --all
