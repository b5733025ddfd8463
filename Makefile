# `make demo` shows it, `make test` proves it.
.PHONY: help demo test lint rust-test interop python bench
.NOTPARALLEL:

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## Start a server and let two real SLIM agents talk through it
	@python3 examples/slim-agents/demo.py

test: ## Run every check: style, lints, Rust tests, real SLIM agents, the Python package
	@examples/server/tests/with_postgres.py $(MAKE) --no-print-directory lint rust-test interop python

lint: ## Check style and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

rust-test: ## Run the Rust tests, with cargo-nextest if it is installed
	if cargo nextest --version >/dev/null 2>&1; \
	then cargo nextest run --workspace --no-fail-fast && cargo test --workspace --doc; \
	else cargo test --workspace --no-fail-fast; fi

interop: ## Run unmodified SLIM agents and the published SDK against the server
	python3 examples/server/tests/interop/run.py

python: ## Build the Python package's wheel, and run its tests in environments of its own
	python3 skytale-client/python/tests/run.py

bench: ## Measure the relay beside a SLIM node, with the same loads in turn (a quarter of an hour)
	@python3 examples/bench/compare.py
