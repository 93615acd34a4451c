# Two commands do everything on a fresh Debian or Ubuntu machine:
#   make demo   build examples/security from the live archive, boot it with Secure Boot and a verified root, update it
#   make test   all tests
# Each target installs what it needs and says what it does. Nothing is installed that is already there.

SHELL := /bin/bash
.DEFAULT_GOAL := help

CARGO_TARGET_DIR ?= $(CURDIR)/target
export CARGO_TARGET_DIR
# A toolchain under ~/.cargo comes before Debian's; pip puts programs into ~/.local/bin; Debian's users lack the sbin
# directories, where fsck, sgdisk and veritysetup are.
export PATH := $(HOME)/.cargo/bin:$(HOME)/.local/bin:$(PATH):/usr/sbin:/sbin

BIN := $(CARGO_TARGET_DIR)/release/bedstone

.PHONY: help demo test test-all bench bench-delta bench-update check build install-build install-demo install-test fuzz docs clean-demo

help: ## Show the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

demo: install-demo build ## Build examples/security from the live archive, boot it, update it (first run: minutes)
	@cargo build --release --locked -p bedstone-tests --example demo
	@scripts/demo

test: install-test build ## Run all tests (under 30 minutes on 2 cores)
	@scripts/test quick

test-all: install-test build ## Run all tests and the long ones: kernel from source, full apt comparison, all file systems
	@scripts/test all

bench: install-test build ## Measure against mmdebstrap on the same packages, in the same run
	@bench/run

bench-delta: install-test ## Measure deltas against rdiff, zck and unzck on the same images, in the same run
	@bench/delta

bench-update: install-test build ## Measure installations against SWUpdate of three Debian releases, in the same run
	@bench/update

check: install-build ## Formatting, lints, licences; what a reviewer runs first
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	@if cargo deny --version >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; else echo "cargo-deny is not installed: licences not checked (cargo install cargo-deny)"; fi

build: install-build ## Compile bedstone and the programs for the device
	@echo "== Compiling bedstone (first time: some minutes)"
	@cargo build --release --locked -p bedstone-cli
	@scripts/build-device

fuzz: install-build ## Run each fuzz target for FUZZ_SECONDS (default 60)
	@scripts/fuzz

docs: build ## Regenerate the man pages, completions and the command reference
	@$(BIN) generate --output docs/reference/generated

install-build:
	@scripts/install-missing build
install-demo:
	@scripts/install-missing build demo
install-test:
	@scripts/install-missing build demo test

clean-demo: ## Remove what the demo built; the package store stays
	rm -rf build/demo build/demo-2 build/demo-3
