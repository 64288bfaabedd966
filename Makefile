# The short way to everything. `make help` lists it.

CARGO ?= cargo
DENY_VERSION := 0.20.2
TOOLS := target/tools
DENY := $(TOOLS)/bin/cargo-deny
CONFIG ?= config/examples/sandbox.toml

SOAK := target/soak
PLOT := $(SOAK)/python

.DEFAULT_GOAL := help
.PHONY: help demo run test simulate bench soak check fmt clippy doc deny clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 16

# The dev profile: a newcomer waits half as long for it as for a release build, and `make test` then reuses it.
demo: ## play recorded calls through the daemon into a sandbox and show how each ended
	$(CARGO) run --locked -- demo

run: ## run the daemon with CONFIG (config/examples/sandbox.toml; `tieline sandbox` beside it)
	$(CARGO) run --release --locked -- run --config $(CONFIG)

test: ## all tests, after installing what they need
	tests/setup.sh
	$(CARGO) test --locked

SEEDS ?= 1000

simulate: ## play SEEDS histories (1000) through the daemon in a simulated world; FROM is the first, SEED plays one
	SEEDS=$(SEEDS) $(CARGO) test --profile simulate --locked --test simulate every_seed_holds -- --nocapture

bench: ## the numbers of docs/benchmarks.md, measured on this machine
	$(CARGO) bench --locked

# The plot is drawn of a run that wasn't flat too: it shows what grew.
soak: $(PLOT)/installed ## an hour under mixed load (TIELINE_SOAK_MINUTES): does memory, descriptors or the store grow?
	status=0; TIELINE_SOAK_DIR=$(CURDIR)/$(SOAK) $(CARGO) bench --locked --features soak --bench soak || status=$$?; \
	$(PLOT)/bin/python benches/soak.py $(SOAK)/soak.csv $(SOAK)/soak.png && exit $$status

$(PLOT)/installed: benches/soak-requirements.txt
	python3 -m venv $(PLOT)
	$(PLOT)/bin/pip install --quiet --requirement $<
	touch $@

check: fmt clippy doc deny ## what must hold before a commit, but for the tests

fmt:
	$(CARGO) fmt --check

clippy:
	$(CARGO) clippy --all-targets --all-features --locked -- -D warnings

doc:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --document-private-items --locked

# Advisories need a network and a database that moves: they are looked at by hand, not by the gate.
deny: $(DENY)
	PATH="$(CURDIR)/$(TOOLS)/bin:$$PATH" $(CARGO) deny --locked check licenses bans sources

$(DENY):
	$(CARGO) install cargo-deny --version $(DENY_VERSION) --locked --root $(TOOLS) --target-dir $(TOOLS)/build
	rm -rf $(TOOLS)/build

clean: ## remove everything that was built
	$(CARGO) clean
