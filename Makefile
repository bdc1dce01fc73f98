# Everything starts here, on a machine with Python 3.11 or newer and make:
#
#   make demo           run the examples; figures and numbers are written to out/
#   make test           linter, type checker, tests            (PEERS=1: also against PyTorch, JAX, ...)
#   make slow           the long statistical and fuzz tests
#   make bench          speed side by side with whatever peers are installed (PEERS=1 installs them)
#   make lint           linter and type checker only
#   make clean          remove the environment and everything that was written
#
# PYTHON chooses the interpreter, VENV where the environment is made, OUT where the demo writes,
# JOBS how many processes pytest uses. Versions are pinned in constraints.txt.

PYTHON ?= python3
VENV ?= .venv
OUT ?= out
JOBS ?= 2
PEERS ?= 0
PYTEST_ARGS ?=
BENCH_ARGS ?=
SAMPLING_ARGS ?=

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
INSTALL := $(PIP) install -c constraints.txt -e
# pyright's JavaScript and its Node.js come with the pinned wheels: nothing is fetched when it runs
PYRIGHT := PYRIGHT_PYTHON_IGNORE_WARNINGS=1 PYRIGHT_PYTHON_GLOBAL_NODE=0 $(BIN)/pyright
TESTING := $(VENV)/installed-test $(if $(filter-out 0,$(PEERS)),$(VENV)/installed-peers)
BENCHING := $(VENV)/installed $(if $(filter-out 0,$(PEERS)),$(VENV)/installed-peers)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test slow bench lint checks clean

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,11p'

# ---- the environment: one stamp per extra, redone only when the requirements change

$(VENV)/made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "pullback needs Python 3.11 or newer")'
	@$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/installed: $(VENV)/made pyproject.toml constraints.txt
	@echo "installing pullback into $(VENV)"
	@$(INSTALL) ".[plot]"
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	@echo "installing what the tests need"
	@$(INSTALL) ".[test]"
	@touch $@

$(VENV)/installed-peers: $(VENV)/installed
	@echo "installing the peers"
	@$(INSTALL) ".[peers]"
	@touch $@

# ---- the jobs

demo: $(VENV)/installed
	@MPLBACKEND=agg $(BIN)/python examples/run_all.py --out $(OUT)

checks:
	$(BIN)/ruff check --quiet src tests benchmarks examples
	$(PYRIGHT) --pythonpath $(BIN)/python

lint: $(VENV)/installed-test
	@$(MAKE) --no-print-directory checks

test: $(TESTING)
	@$(MAKE) --no-print-directory checks
	MPLBACKEND=agg $(BIN)/python -m pytest -q -n $(JOBS) --timeout 300 $(PYTEST_ARGS)

slow: $(TESTING)
	MPLBACKEND=agg $(BIN)/python -m pytest -q -n $(JOBS) --timeout 900 -m slow $(PYTEST_ARGS)

bench: $(BENCHING)
	@$(BIN)/python benchmarks/eager.py $(BENCH_ARGS)
	@$(BIN)/python benchmarks/sampling.py $(SAMPLING_ARGS)
	@$(BIN)/python benchmarks/explain.py

clean:
	rm -rf $(VENV) $(OUT) build dist src/*.egg-info .pytest_cache .ruff_cache .hypothesis
