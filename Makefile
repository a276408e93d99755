# What a person does with the repository. demo, test, lint and bench first prepare .venv, once.

# The Python that .venv is made with; empty: the first of these that runs, is new enough and can make environments.
PYTHON ?=
NAMES := python3.13 python3.12 python3.11 python3
# More words for pytest or the benchmarks: make test ARGS="tests/sketch -x"
ARGS ?=

SHELL := bash
BIN := .venv/bin
READY := .venv/ready
DEMO := runs/demo
MUSIC := runs/demo-music
FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

.DEFAULT_GOAL := help
.PHONY: help demo demo-music test reliability lint bench clean

help:
	@echo "make demo    train a small SketchRNN on built-in drawings (two to five minutes) and lay out its page"
	@echo "make demo-music   train a small Performance RNN on built-in pieces (three to six minutes): a page to see and hear"
	@echo "make test    run the tests, in as many processes as cores; ARGS=\"tests/sketch -x\" chooses some; MAGENTA_LITE_DATA=DIR adds real data"
	@echo "make reliability   the long form of the tests of faults, lost hosts and hostile input: hours, see docs/reliability.md"
	@echo "make lint    ruff, and mypy on magenta_lite"
	@echo "make bench   run the benchmarks"
	@echo "make clean   remove .venv and caches; prepared/ and runs/ are kept"
	@echo
	@echo "All but clean first install requirements.lock into .venv, once. PYTHON=/path/to/python3 names the Python for it."

demo: $(READY)
	@echo "demo 1/3: drawings, to prepared/toy"
	@$(BIN)/python -m data.toy
	@echo "demo 2/3: training, in $(DEMO)"
	@$(BIN)/python train.py --config=configs/sketch_rnn.py:tiny --workdir=$(DEMO)
	@echo "demo 3/3: what the model draws"
	@$(BIN)/python sample.py --workdir=$(DEMO) --mode=gallery --out=$(DEMO) --overwrite
	@echo
	@echo "Open the page in a browser: $(CURDIR)/$(DEMO)/gallery.html"

demo-music: $(READY)
	@echo "demo 1/3: piano pieces, to prepared/toy-performances"
	@$(BIN)/python -m data.toy --kind=performances
	@echo "demo 2/3: training, in $(MUSIC)"
	@$(BIN)/python train.py --config=configs/performance_rnn.py:tiny --workdir=$(MUSIC)
	@echo "demo 3/3: what the model plays"
	@$(BIN)/python sample.py --workdir=$(MUSIC) --mode=gallery --out=$(MUSIC) --overwrite
	@echo
	@echo "Open the page in a browser: $(CURDIR)/$(MUSIC)/gallery.html"

test: $(READY)
	@$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile $(ARGS)

reliability: $(READY)
	@$(BIN)/python -m pytest --long --durations=0 tests/faults tests/fuzz tests/hosts tests/data/test_portions.py $(ARGS)

lint: $(READY)
	@failed=0; \
	for check in "ruff check --no-cache" "ruff format --no-cache --check" "mypy"; do \
	  echo "lint: $$check"; \
	  $(BIN)/python -m $$check || failed=1; \
	done; \
	exit $$failed

bench: $(READY)
	@shopt -s nullglob; \
	files=(benchmarks/[!_]*.py); \
	if [ $${#files[@]} = 0 ]; then echo "bench: there are no benchmarks yet (benchmarks/*.py)"; fi; \
	for file in "$${files[@]}"; do \
	  echo "bench: $$file"; \
	  $(BIN)/python "$$file" $(ARGS) || exit 1; \
	done

clean:
	rm -rf .venv .node build magenta_lite.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path "./prepared/*" -not -path "./runs/*" -prune -exec rm -rf {} +

# Packages that pip has to build are built by the setuptools of the lock too.
# (A newer pip refuses a build constraint where nothing is isolated: the package itself goes without.)
$(READY): requirements.lock pyproject.toml
	@set -u; rm -f $@; \
	if ! $(BIN)/python -c '$(FITS)' 2>/dev/null; then \
	  found=; \
	  while read -r python; do \
	    if "$$python" -c '$(FITS)' >/dev/null 2>&1; then found=$$python; break; fi; \
	  done < <(type -ap $(or $(PYTHON),$(NAMES))); \
	  if [ -z "$$found" ]; then \
	    echo "error: no Python 3.11 or newer that has venv: tried $(or $(PYTHON),$(NAMES)); name one with PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  fi; \
	  echo "set-up: making .venv with $$found"; \
	  if ! message=$$("$$found" -m venv --clear .venv 2>&1); then \
	    echo "error: $$found could not make .venv: $$(tail -n 1 <<< "$$message")" >&2; \
	    exit 1; \
	  fi; \
	fi; \
	log=.venv/install.log; \
	pip="$(BIN)/python -m pip install --disable-pip-version-check --no-input"; \
	grep '^setuptools==' requirements.lock > .venv/builders; \
	export PIP_CONSTRAINT=.venv/builders PIP_BUILD_CONSTRAINT=.venv/builders; \
	echo "set-up: installing $$(grep -c == requirements.lock) packages into .venv (1.6 GB, one to three minutes the first time)"; \
	if ! { $$pip -r requirements.lock && env -u PIP_BUILD_CONSTRAINT $$pip --no-deps --no-build-isolation -e .; } > $$log 2>&1; then \
	  reason=$$(grep '^ERROR' $$log | tail -n 1); \
	  echo "error: the packages could not be installed, is there a network? $${reason#ERROR: } (all of it: $$log)" >&2; \
	  exit 1; \
	fi; \
	touch $@; \
	echo "set-up: done in $$SECONDS s"
