# Everything a person or a machine runs. `make test` needs Rust, Node and apt, nothing else.

SHELL := /bin/bash
CARGO ?= cargo

.PHONY: run build test deps fmt fmt-check lint bench fuzz

# Starts everything on 127.0.0.1 with built-in defaults; data in ./data.
run:
	$(CARGO) run --release --package sextant-server --bin sextant -- up

build:
	$(CARGO) build --release

# Peers that tests compare with. A machine without apt or without rights runs what it can.
deps:
	@for p in prometheus prometheus-node-exporter postgresql python3-venv redis-server syslog-ng-core syslog-ng-mod-http; do \
	  { command -v $$p || dpkg -s $$p; } >/dev/null 2>&1 && continue; \
	  command -v apt-get >/dev/null || { echo "$$p is missing and there is no apt-get"; continue; }; \
	  sudo=; [ "$$(id -u)" = 0 ] || sudo=sudo; \
	  DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y $$p >/dev/null \
	    || { $$sudo apt-get update >/dev/null && DEBIAN_FRONTEND=noninteractive $$sudo apt-get install -y $$p >/dev/null; } \
	    || echo "$$p could not be installed"; \
	done

test: deps fmt-check lint
	@if [ ! -d ../shared ]; then \
	  if [ -n "$$CI" ]; then echo "../shared with the conformance corpora is missing"; exit 1; fi; \
	  echo "skipped: conformance corpora, ../shared is not there"; \
	fi
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --workspace --no-fail-fast; \
	else \
	  $(CARGO) test --workspace --no-fail-fast; \
	fi

fmt:
	$(CARGO) fmt --all

fmt-check:
	$(CARGO) fmt --all --check

lint:
	$(CARGO) clippy --workspace --all-targets -- -D warnings

bench:
	$(CARGO) bench --workspace

# Each target for FUZZ_SECONDS; stops at the first finding. Checked in seeds are only read.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= $(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))
fuzz:
	@set -e; for t in $(FUZZ_TARGETS); do \
	  seeds=fuzz/corpus/$$t; found=target/fuzz-corpus/$$t; mkdir -p $$seeds $$found; \
	  echo "== $$t"; \
	  $(CARGO) +nightly fuzz run --sanitizer none $$t $$found $$seeds -- \
	    -max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -max_len=65536; \
	done
