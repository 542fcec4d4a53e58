# Everything goes through one virtual environment, made once from requirements.lock.
PYTHON ?= python3.11
VENV ?= .venv
PROFILE ?= nano

BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TOKENIZERS_PARALLELISM ?= false

.PHONY: help setup study test test-slow figures ablate readme address release clean
.DEFAULT_GOAL := help

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

setup: $(STAMP) ## make the virtual environment (a few minutes at most, once)

# --no-deps and --no-build-isolation: the locks alone decide what is installed, each file by
# its hash, so that nothing resolves torch a second time. `pip check` misses something only
# where the index gave torch's CUDA build, and so the libraries of the second lock.
# --no-compile: what is imported is compiled then, which is little of what is installed.
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --no-compile --no-deps
$(STAMP): requirements.lock requirements-cuda.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) --require-hashes -r requirements.lock
	@$(PIP) check >/dev/null || $(INSTALL) --require-hashes -r requirements-cuda.lock
	$(INSTALL) --no-build-isolation -e .
	@$(PIP) check
	@touch $@

study: $(STAMP) ## the whole study: notebooks 00 to 05, into build/; PROFILE=, RUN= for another
	@$(BIN)/python scripts/study.py --profile $(PROFILE) $(if $(RUN),--run $(RUN))

test: $(STAMP) ## all tests but the slow ones
	@$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 4 --dist loadfile \
		--no-loadscope-reorder

test-slow: $(STAMP) ## the slow tests
	@$(BIN)/python -m pytest -m slow

figures: $(STAMP) ## figures and tables of one run: make figures RUN=nano-reference
	@$(BIN)/python scripts/study.py --only 05 --profile $(PROFILE) \
		--run $(or $(RUN),nano-reference)

ablate: PROFILE = nano-switch
ablate: $(STAMP) ## the ablations: runs what their grid lacks, hours; stopped, it goes on
	@$(BIN)/python scripts/study.py --only 06 --profile $(PROFILE) \
		--run $(or $(RUN),ablations) -p run_missing true

readme: $(STAMP) ## picture and tables of README and docs/, made anew from results/
	@$(BIN)/python scripts/readme.py

address: $(STAMP) ## another public address: make address URL=https://github.com/owner/name
	@$(BIN)/python scripts/address.py "$(URL)"

release: $(STAMP) ## the notebooks install the commit that they belong to, not the head
	@$(BIN)/python scripts/release.py $(REVISION)

clean: ## remove scratch runs and build products; the virtual environment stays
	rm -rf build
