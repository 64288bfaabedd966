# The short way to everything. `make help` lists it.

CARGO ?= cargo
DENY_VERSION := 0.20.2
TOOLS := target/tools
DENY := $(TOOLS)/bin/cargo-deny
DEB_VERSION := 3.8.0
DEB := $(TOOLS)/bin/cargo-deb
CYCLONEDX_VERSION := 0.5.9
CYCLONEDX := $(TOOLS)/bin/cargo-cyclonedx
CARGO_HOME ?= $(HOME)/.cargo
CONFIG ?= config/examples/sandbox.toml

# Where `make install` puts things; DESTDIR stands before all of it.
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
ZSH_COMPLETIONS ?= $(PREFIX)/share/zsh/site-functions
# The program that is installed.
PROGRAM ?= target/release/tieline
INSTALL_PROGRAM ?= install -m 755
UNITS := $(notdir $(wildcard systemd/*.service systemd/*.socket systemd/*.timer))
PACKAGE := target/package
SBOM := $(PACKAGE)/tieline.cdx.json
# The time of everything in the package: the commit's.
EPOCH = $(shell git log -1 --format=%ct)
INSTALL_FOLDERS := bin lib/systemd/system lib/sysusers.d lib/tmpfiles.d share/man/man1 share/bash-completion/completions \
	share/fish/vendor_completions.d share/tieline share/doc/tieline/decisions share/doc/tieline/examples/monitoring

SOAK := target/soak
PLOT := $(SOAK)/python

.DEFAULT_GOAL := help
.PHONY: help demo run test simulate bench soak check fmt clippy doc deny install uninstall deb deb-of sbom tools reproduce clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

# The dev profile: a newcomer waits half as long for it as for a release build, and `make test` then reuses it.
demo: ## play recorded calls through the daemon into a sandbox and show how each ended
	$(CARGO) run --locked -- demo

run: ## run the daemon with CONFIG (config/examples/sandbox.toml; `tieline sandbox` beside it)
	$(CARGO) run --release --locked -- run --config $(CONFIG)

test: ## all tests, after installing what they need
	tests/setup.sh
	$(CARGO) test --locked --features otel --lib --test otel
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

# Everything but what the administrator owns: settings that are there stay, secrets and the store aren't looked at. Under /usr/local
# the units find the program there.
install: ## install the release build under PREFIX (/usr/local), below DESTDIR; `cargo build --release --locked` before
	@test -x $(PROGRAM) || { echo "$(PROGRAM) isn't there: cargo build --release --locked" >&2; exit 1; }
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,$(INSTALL_FOLDERS)) $(DESTDIR)$(ZSH_COMPLETIONS) $(DESTDIR)$(SYSCONFDIR)/tieline
	$(INSTALL_PROGRAM) $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/tieline
	$(PROGRAM) generate man $(DESTDIR)$(PREFIX)/share/man/man1
	gzip -9nf $(DESTDIR)$(PREFIX)/share/man/man1/tieline*.1
	$(PROGRAM) generate completions bash > $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tieline
	$(PROGRAM) generate completions fish > $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tieline.fish
	$(PROGRAM) generate completions zsh > $(DESTDIR)$(ZSH_COMPLETIONS)/_tieline
	for unit in $(UNITS); do sed 's|/usr/bin/tieline|$(PREFIX)/bin/tieline|g; s|/usr/share/doc|$(PREFIX)/share/doc|g' \
		systemd/$$unit > $(DESTDIR)$(PREFIX)/lib/systemd/system/$$unit || exit 1; done
	install -m 644 systemd/tieline.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/tieline.conf
	install -m 644 systemd/tieline.tmpfiles $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tieline.conf
	install -m 644 README.md docs/*.md docs/*.png $(wildcard $(SBOM)) $(DESTDIR)$(PREFIX)/share/doc/tieline
	install -m 644 docs/decisions/*.md $(DESTDIR)$(PREFIX)/share/doc/tieline/decisions
	install -m 644 config/tieline.toml config/*.j2 config/examples/* systemd/*.conf $(DESTDIR)$(PREFIX)/share/doc/tieline/examples
	install -m 644 config/monitoring/* $(DESTDIR)$(PREFIX)/share/doc/tieline/examples/monitoring
	install -m 644 config/*.schema.json $(DESTDIR)$(PREFIX)/share/tieline
	test -e $(DESTDIR)$(SYSCONFDIR)/tieline/tieline.toml || \
		install -m 644 packaging/tieline.toml $(DESTDIR)$(SYSCONFDIR)/tieline/tieline.toml

uninstall: ## remove what `make install` installed; settings, secrets and the store stay
	rm -f $(DESTDIR)$(PREFIX)/bin/tieline $(DESTDIR)$(PREFIX)/share/man/man1/tieline.1.gz
	rm -f $(DESTDIR)$(PREFIX)/share/man/man1/tieline-*.1.gz $(DESTDIR)$(ZSH_COMPLETIONS)/_tieline
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/tieline
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/tieline.fish
	rm -f $(addprefix $(DESTDIR)$(PREFIX)/lib/systemd/system/,$(UNITS))
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/tieline.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/tieline.conf
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/tieline $(DESTDIR)$(PREFIX)/share/tieline

# No path of this machine gets into the program, and no time but the commit's into the package, so that another build can be compared.
deb: sbom ## the Debian package of a release build, in target/debian
	RUSTFLAGS='--remap-path-prefix=$(CURDIR)=/tieline --remap-path-prefix=$(CARGO_HOME)=/cargo' \
		CFLAGS='-ffile-prefix-map=$(CURDIR)=/tieline -ffile-prefix-map=$(CARGO_HOME)=/cargo' $(CARGO) build --release --locked
	$(MAKE) --no-print-directory deb-of

sbom: $(CYCLONEDX) ## what the program is made of (CycloneDX), in target/package; part of the package
	mkdir -p $(PACKAGE)
	SOURCE_DATE_EPOCH=$(EPOCH) $(CYCLONEDX) cyclonedx --quiet --format json --spec-version 1.5 --override-filename tieline.cdx
	sed 's|$(CURDIR)|/tieline|g' tieline.cdx.json > $(SBOM)
	rm tieline.cdx.json

# The package of PROGRAM as it is: tests pack what they have built already.
deb-of: $(DEB)
	rm -rf $(PACKAGE)/tree $(PACKAGE)/scripts
	$(MAKE) --no-print-directory install DESTDIR=$(PACKAGE)/tree PREFIX=/usr SYSCONFDIR=/etc \
		ZSH_COMPLETIONS=/usr/share/zsh/vendor-completions INSTALL_PROGRAM='$(INSTALL_PROGRAM) -s'
	install -d $(PACKAGE)/scripts
	for script in postinst prerm postrm; do \
		sed 's|@UNITS@|$(UNITS)|' packaging/debian/scripts/$$script > $(PACKAGE)/scripts/$$script || exit 1; done
	SOURCE_DATE_EPOCH=$(EPOCH) $(DEB) --no-build --locked $(DEB_OPTIONS)

tools: $(DEB) $(CYCLONEDX)

reproduce: ## build the package of the last commit twice, in two folders, and compare: half an hour
	packaging/reproduce.sh

# Runs for a second: not worth minutes of optimising it.
$(CYCLONEDX):
	$(CARGO) install --debug cargo-cyclonedx --version $(CYCLONEDX_VERSION) --locked --root $(TOOLS) --target-dir $(TOOLS)/build
	rm -rf $(TOOLS)/build

$(DEB):
	$(CARGO) install cargo-deb --version $(DEB_VERSION) --locked --root $(TOOLS) --target-dir $(TOOLS)/build
	rm -rf $(TOOLS)/build

clean: ## remove everything that was built
	$(CARGO) clean
