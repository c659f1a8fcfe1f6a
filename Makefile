# `make help` lists what there is. What takes more than a line or two is a script in deploy/local.

SHELL := bash
MAKEFLAGS += --no-print-directory --no-builtin-rules
.NOTPARALLEL:
.DEFAULT_GOAL := help
.PHONY: help demo up down status logs build test bench check-api k8s-check k8s-rules deny sbom
.PHONY: observability-check prometheus-check contracts lint fmt clean prerequisites

# debug, or another of cargo's profiles, as in: PROFILE=release make demo
PROFILE ?= debug
# The stack that the services run on. `make test` has one of its own.
SALES_STACK := dev
export PROFILE SALES_STACK
# Where rustup puts cargo, for a shell that was opened before rustup was installed.
export PATH := $(PATH):$(HOME)/.cargo/bin

local := deploy/local
salesctl := $(local)/with-env $(or $(CARGO_TARGET_DIR),target)/$(PROFILE)/salesctl

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "More: $(local)/stack --help, $(local)/services --help"

demo: up ## start everything, place orders and follow them to Delivered; ARGS go to `salesctl demo`
	$(salesctl) demo $(ARGS)
	@echo
	@echo "The system is still running: make status, make logs. It ends with: make down"

up: build ## start PostgreSQL, Kafka and the services in the background
	$(local)/stack $(SALES_STACK) up
	$(salesctl) migrate
	$(salesctl) topics create
	$(local)/services up

down: ## stop all that; the data stays
	$(local)/services down
	$(local)/stack $(SALES_STACK) down

status: ## what is running, and whether it is ready
	@code=0; $(local)/stack $(SALES_STACK) status || code=1; $(local)/services status || code=1; exit $$code

logs: ## last lines of the services' logs, as in: make logs ARGS="sales-api -f"
	@$(local)/services logs $(ARGS)

build: prerequisites ## compile the workspace; PROFILE=release optimises
	cargo build --workspace --locked --profile $(PROFILE:debug=dev)

test: prerequisites ## run the tests on a stack of their own; TEST filters by name, ARGS go to `cargo test`
	$(local)/run-tests $(TEST) $(ARGS)

check-api: up ## lint the API's description and drive the running API from it (needs Node.js and Python)
	TOKEN=$$($(salesctl) token --operator) $(local)/with-env $(local)/check-api $(ARGS)

k8s-check: ## build the Kubernetes overlays, check them against the schemas and our own rules (needs Python)
	$(local)/check-kubernetes

.PHONY: check-examples
check-examples: up ## run the programs in examples/ against the running system (needs kcat, jq, Node.js and Python)
	$(local)/with-env $(local)/check-examples

k8s-rules: ## write the PrometheusRule for Kubernetes from Prometheus' own rules file
	$(local)/check-kubernetes --write-rules

deny: ## check licences, bans, sources and advisories of all dependencies; ARGS=--advisories insists on the last
	$(local)/supply-chain deny $(ARGS)

sbom: ## list what each binary is made of, into .local/sbom or ARGS=FOLDER
	$(local)/supply-chain sbom $(ARGS)

observability-check: ## check the rules of the alerts and run their tests
	$(local)/observability rules

prometheus-check: ## let a Prometheus scrape the local system until every alert has been evaluated
	$(local)/observability scrape

bench: ## measure the speed beside its targets, on a stack of its own; ARGS as in: make bench ARGS="--rounds 1"
	$(local)/prerequisites bench
	cargo build --locked --release --workspace
	$(or $(CARGO_TARGET_DIR),target)/release/bench $(ARGS)

contracts: prerequisites ## write schemas, golden files and the AsyncAPI document; what is released stays as it is
	UPDATE_CONTRACTS=1 cargo test --locked --package contracts --lib the_committed_files_are_what_the_code_writes

lint: prerequisites ## check the formatting and run clippy; a warning fails
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings

fmt: ## format the code
	cargo fmt --all

clean: ## stop every local stack, delete their data and what cargo has built
	$(local)/services down
	for stack in $$($(local)/stack list); do $(local)/stack $$stack wipe; done
	rm -rf .local
	cargo clean

prerequisites:
	@$(local)/prerequisites
