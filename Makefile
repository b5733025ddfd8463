# `make demo` shows it, `make test` proves it.
.PHONY: help demo test lint rust-test interop

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: ## Start a server and let two real SLIM agents talk through it
	@python3 examples/slim-agents/demo.py

test: ## Run every check: style, lints, Rust tests, real SLIM agents
	@examples/server/tests/with_postgres.sh $(MAKE) --no-print-directory lint rust-test interop

lint: ## Check style and lints
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --quiet

rust-test: ## Run the Rust tests
	cargo test --workspace

interop: ## Run unmodified SLIM agents and the published SDK against the server
	cargo build --quiet -p skytale-server
	python3 examples/server/tests/interop/run.py
