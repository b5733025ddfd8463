# `make demo` shows it, `make test` proves it.
PARTS = lint rust-test relays tour api interop nemesis python

.PHONY: help demo tour cluster test $(PARTS) bench bench-scaling compare counts release tools unify
.NOTPARALLEL:

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## Start a server and let two real SLIM agents talk through it
	@python3 examples/slim-agents/demo.py

tour: ## Sign up, invite, join, talk and revoke, with the command-line tool
	@cargo build --quiet -p skytale-server -p skytale-cli -p cluster
	@sh examples/cli/tour.sh

cluster: ## Run agents at three relays over three NATS servers, kill one of each, and say what happened
	@examples/server/tests/with_postgres.py examples/server/tests/with_nats.py python3 examples/cluster/cluster.py

test: ## Run every check: style, lints, Rust tests, several relays, the tour, the API under attack, real SLIM agents, faults, Python
	@examples/server/tests/with_postgres.py examples/server/tests/with_nats.py examples/server/tests/parts.py $(PARTS)

lint: ## Check style and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

rust-test: ## Run the Rust tests, with cargo-nextest if it is installed
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --config-file .ci/nextest.toml --profile ci --workspace --no-fail-fast && cargo test --workspace --doc; \
	else cargo test --workspace --no-fail-fast; fi

relays: ## Run the relay's tests again with two relays that act as one: in memory, over PostgreSQL, over NATS
	python3 skytale-relay/tests/relays.py

nemesis: ## Kill and stop relays and NATS servers under load for three minutes, and restart every relay in turn
	python3 examples/cluster/cluster.py --nemesis --seconds 180
	python3 examples/cluster/cluster.py --rolling 2 --seconds 90

api: ## Attack the API by its own description (schemathesis), and read its page in a browser without a network
	python3 examples/server/tests/interop/api.py

interop: ## Run unmodified SLIM agents and the published SDK against the server
	python3 examples/server/tests/interop/run.py

python: ## Build the Python package's wheel, and run its tests in environments of its own
	python3 skytale-client/python/tests/run.py

release: ## Build the server and the command-line tool for release: stripped, with their debug information in files apart
	@python3 examples/server/release.py

tools: ## Install what the tests need beside Rust, git, Python and make, in the versions they are known to pass with
	@python3 examples/server/tests/tools.py

unify: ## Agree on one set of features for each third-party crate, after a dependency has changed
	@python3 skytale-core/features/unify.py

bench: ## Measure the relay beside a SLIM node, with the same loads in turn (a quarter of an hour)
	@python3 examples/bench/compare.py

compare: ## Judge a change: BASE=<commit> [ARGS="LOAD... --pairs 6 --seconds 5"] measures this tree and that commit in turn
	@python3 examples/bench/judge.py "$(BASE)" $(ARGS)

counts: ## Count the instructions of what every message goes through, with valgrind; with BASE=<commit> beside that commit's
	@python3 examples/bench/counts.py $(if $(BASE),--base $(BASE)) $(ARGS)

bench-scaling: ## Measure one, two and three relays that act as one, over PostgreSQL and over NATS
	@examples/server/tests/with_postgres.py examples/server/tests/with_nats.py python3 examples/bench/scaling.py
