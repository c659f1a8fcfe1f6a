# `make help` lists the targets. Commands longer than two lines are scripts in deploy/local.

SHELL := bash
MAKEFLAGS += --no-print-directory --no-builtin-rules
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo dev run up console console-shots down status logs build release up-release test coverage bench bench-check load
.PHONY: db-up db-down db-create db-setup db-reset containers-up containers-down compose-up compose-down
.PHONY: faults faults-check soak check-api check-dev check-examples k8s-check k8s-rules deny sbom
.PHONY: observability-check prometheus-check contracts configuration doc lint fmt clean prerequisites

# The cargo profile (debug for dev), for example: PROFILE=release make demo
PROFILE ?= debug
# The stack that the services run on. `dev` runs PostgreSQL and Kafka as processes, `containers`
# runs them in containers, for example: make up STACK=containers. `make test` uses a separate stack.
STACK ?= dev
SALES_STACK := $(STACK)
# The compose command; podman-compose works too.
COMPOSE ?= docker compose
export PROFILE SALES_STACK COMPOSE
# rustup installs cargo here. A shell that was opened before that does not have it in PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin

local := deploy/local
salesctl := $(local)/salesctl
services := inventory-mock sales-api outbox-relay delivery-service status-consumer console
pages := $(or $(CARGO_TARGET_DIR),target)/doc

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "More: docs/DEVELOPMENT.md, $(local)/stack --help, $(local)/services --help"

demo: up ## start everything, place orders and follow them to Delivered; ARGS go to `salesctl demo`
	$(salesctl) demo $(ARGS)
	@echo
	@echo "The system is still running. Inspect it with make status and make logs, or in a browser:"
	@$(MAKE) console
	@echo "Stop it with make down."

dev: ## run everything with hot reload: a saved file rebuilds and replaces the services that depend on it
	@$(local)/dev

run: ## run one service in the foreground, as in: make run SERVICE=sales-api
	@[[ "$(words $(SERVICE))" == 1 && "$(filter $(SERVICE),$(services))" ]] || \
	  { echo "SERVICE must be one of: $(services); as in: make run SERVICE=sales-api" >&2; exit 2; }
	@$(local)/prerequisites
	cargo build --locked --profile $(PROFILE:debug=dev) --bin $(SERVICE) --bin salesctl
	$(local)/database create
	@$(local)/services run $(SERVICE)

up: build ## start PostgreSQL, Kafka and the services in the background
	$(local)/database create
	$(local)/services up

console: ## print a link to the console of the local system, with a token for twelve hours
	@echo "$$($(local)/with-env printenv CONSOLE_URL)/sign-in#token=$$($(salesctl) token --operator --subject $${USER:-operator} --minutes 720)"

console-shots: ## take pictures of the console's pages, with sample orders, into .local/shots or ARGS=FOLDER
	$(local)/prerequisites test
	@mkdir -p $(or $(ARGS),.local/shots)
	CONSOLE_SHOTS=$(abspath $(or $(ARGS),.local/shots)) $(local)/run-tests --package sales-console --test chromium -- every_page

down: ## stop the services, PostgreSQL and Kafka; the data stays
	$(local)/services down
	$(local)/stack $(SALES_STACK) down

status: ## show the running processes, and whether each is ready
	@code=0; $(local)/stack $(SALES_STACK) status || code=1; $(local)/services status || code=1; exit $$code

logs: ## print the last lines of the services' logs; to follow one: make logs ARGS="sales-api -f"
	@$(local)/services logs $(ARGS)

build: prerequisites ## compile the services and salesctl; PROFILE=release optimises
	cargo build --bins --locked --profile $(PROFILE:debug=dev)

release: ## compile the services and salesctl optimised, into target/release
	$(MAKE) build PROFILE=release

up-release: ## start the optimised services in the background, as up does
	$(MAKE) up PROFILE=release

test: ## run the tests on a separate stack; TEST filters by name, ARGS go to `cargo test`
	@$(local)/prerequisites test
	$(local)/run-tests $(TEST) $(ARGS)

coverage: ## run the tests and report which lines they cover; fails below 90 % in the main crates
	@$(local)/prerequisites test
	$(local)/coverage $(ARGS)

db-up: ## start PostgreSQL and Kafka
	$(local)/stack $(SALES_STACK) up

db-down: ## stop PostgreSQL and Kafka; the data stays
	$(local)/stack $(SALES_STACK) down

db-create: build ## start both, and create missing schemas and topics
	$(local)/database create

db-setup: build ## db-create, and add 51 sample orders, 17 each of three statuses; a second run adds nothing
	$(local)/database setup

db-reset: build ## stop all processes of the stack, delete its data, then db-setup
	$(local)/database reset

containers-up: ## start PostgreSQL and Redpanda in containers, for services on the host (make up STACK=containers)
	$(local)/stack containers up

containers-down: ## stop both containers and the services on the host that use them; the data stays
	SALES_STACK=containers $(local)/services down
	$(local)/stack containers down

compose-up: ## build the images and run everything in containers
	@[[ -e .env ]] || { cp .env.example .env; echo "created .env from .env.example; make up uses it too, and its JWT_SECRET is public"; }
	@# One image first: podman-compose builds images concurrently, and each build would compile everything.
	$(COMPOSE) build sales-api
	$(COMPOSE) up -d --build

compose-down: ## stop and remove all containers; the data stays in volumes
	$(COMPOSE) --profile "*" down

check-dev: build ## check that make dev replaces exactly the services that a change affects
	$(local)/check-dev

check-api: up ## lint the OpenAPI document and test the running API against it (needs Node.js and Python)
	TOKEN=$$($(salesctl) token --operator) $(local)/with-env $(local)/check-api $(ARGS)

check-examples: up ## run the programs in examples/ against the running system (needs kcat, jq, Node.js and Python)
	$(local)/with-env $(local)/check-examples

k8s-check: ## build the Kubernetes overlays, check them against the schemas and the project's rules (needs Python)
	$(local)/check-kubernetes

k8s-rules: ## generate the PrometheusRule for Kubernetes from the Prometheus rules file
	$(local)/check-kubernetes --write-rules

deny: ## check licences, bans, sources and advisories of all dependencies; ARGS=--advisories requires the advisories
	$(local)/supply-chain deny $(ARGS)

sbom: ## write an SBOM for each binary into .local/sbom or ARGS=FOLDER
	$(local)/supply-chain sbom $(ARGS)

observability-check: ## check the alert rules and run their tests
	$(local)/observability rules

prometheus-check: ## run a Prometheus that scrapes the local system until every alert rule has been evaluated
	$(local)/observability scrape

bench: ## measure the performance and compare it with targets, on a separate stack: make bench ARGS="--json FILE --charts FOLDER"
	$(local)/prerequisites bench
	cargo build --locked --release --workspace
	$(or $(CARGO_TARGET_DIR),target)/release/bench $(ARGS)

bench-check: ## run the measurements of make bench briefly, with debug builds; their figures mean nothing
	$(local)/prerequisites bench
	cargo build --locked --workspace
	$(or $(CARGO_TARGET_DIR),target)/debug/bench --rounds 1 --seconds 1 --backlog 10000 \
	  --only machine,idle,creates,drain,latency,consumers,whole

faults: prerequisites ## inject every fault of the matrix, and check what clients have seen: make faults ROW=4 SEED=7
	cargo build --locked --release --workspace --bins
	$(or $(CARGO_TARGET_DIR),target)/release/faults run $(addprefix --row=,$(ROW)) $(addprefix --seed=,$(SEED)) $(ARGS)

faults-check: prerequisites ## run four rows of make faults briefly, with debug builds
	cargo build --locked --workspace --bins
	$(or $(CARGO_TARGET_DIR),target)/debug/faults run --row=4 --row=8 --row=10 --row=12 --seconds=30 --rate=15 --ignore-figures

soak: prerequisites ## inject random mixtures of faults, each with a new seed: make soak MINUTES=60
	cargo build --locked --release --workspace --bins
	$(or $(CARGO_TARGET_DIR),target)/release/faults soak $(addprefix --minutes=,$(MINUTES)) $(addprefix --seed=,$(SEED)) $(ARGS)

load: prerequisites ## place orders on the running system and measure the responses: make load ARGS="--rate 200"
	cargo build --locked --package bench --profile $(PROFILE:debug=dev)
	@$(local)/with-env $(or $(CARGO_TARGET_DIR),target)/$(PROFILE)/bench load $(ARGS)

contracts: prerequisites ## write the schemas, golden files, AsyncAPI and OpenAPI documents; released files do not change
	UPDATE_CONTRACTS=1 cargo test --locked --package contracts --package sales-api --lib the_committed_

configuration: build ## generate docs/CONFIGURATION.md and .env.example from the settings in the code
	UPDATE_DOCS=1 cargo test --locked --package system-tests --test it configuration::

doc: prerequisites ## write the pages of the code, which lead along the path of an order; a broken link fails
	@# rustdoc links to another crate only if the folder of its pages exists.
	@mkdir -p $(addprefix $(pages)/,$(subst -,_,$(notdir $(wildcard crates/* services/*))))
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items --locked
	@echo "Open $(pages)/guide/index.html"

lint: prerequisites ## check the formatting, run clippy and build the pages of the code; a warning fails
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(MAKE) doc

fmt: ## format the code
	cargo fmt --all

clean: ## stop every local stack, and delete their data and the cargo build
	$(local)/services down
	for stack in $$($(local)/stack list); do $(local)/stack $$stack wipe; done
	rm -rf .local
	cargo clean

prerequisites:
	@$(local)/prerequisites
