# An index: what each target does is in the script that it calls. `make` alone lists the targets.

.DEFAULT_GOAL := help
.PHONY: help build demo test fuzz bench lint format install clean

help:
	@awk -F ': ## ' '/^[a-z]+: ## / { printf "  make %-8s %s\n", $$1, $$2 }' Makefile

build: ## build the static sealer executable at .build/sealer
	@scripts/build-sealer.sh

demo: ## make a two-node cluster from the example and show its pods; the cluster stays
	@scripts/demo.sh

test: ## run every test, the cluster test included
	@scripts/test.sh

fuzz: ## fuzz every parser of strangers' bytes, a minute each (SECONDS_EACH=600 for longer)
	@scripts/fuzz.sh $(or $(SECONDS_EACH),60)

bench: ## time sealer run beside bare kubeadm, and the image commands beside other tools
	@scripts/bench.sh
	@scripts/bench-images.sh

lint: ## check the format of the Swift code and the shell scripts
	@scripts/lint.sh

format: ## format the Swift code
	@scripts/format.sh

install: ## install sealer and its shell completions under PREFIX (/usr/local)
	@scripts/install-sealer.sh

clean: ## delete the build products and end what the testbed started; the cache stays
	@scripts/clean.sh
