# `make` or `make help` lists the targets.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
READY := $(VENV)/.ready
DEV := $(VENV)/.dev

.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /	/' | expand -t 14

$(READY): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

$(DEV): $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(DEV) ## a virtual environment with everything in it

demo: $(READY) ## the order saga, on real services, and its picture
	$(BIN)/python examples/order/services --run -- $(BIN)/saga run examples/order/order.saga
	$(BIN)/saga render examples/order/order.saga --to mermaid

test: $(DEV) ## all tests but those of `make external`, under 5 minutes on 2 cores
	$(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/external

check: $(DEV) ## lint, format, types, layers, examples
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict sagalang
	$(BIN)/mypy --strict examples/order/services
	$(BIN)/mypy --strict examples/shop/shop
	$(BIN)/mypy --strict examples/shop_api
	$(BIN)/mypy --strict benchmarks/by_hand benchmarks/lines.py
	$(BIN)/lint-imports
	$(BIN)/saga check examples/order/order.saga examples/shop/shop.saga
	$(BIN)/saga compile examples/shop/shop.saga -o examples/shop_api/sagas --check

external: $(DEV) ## the tests with the real Mermaid, PlantUML, Graphviz, Pyright and a browser
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[external]'
	@for program in plantuml dot chromium; do command -v $$program > /dev/null || absent=yes; done; \
	if [ -n "$$absent" ]; then apt-get update -q && apt-get install -yq --no-install-recommends plantuml graphviz chromium; fi
	npm install --prefix tests/external/mermaid --no-audit --no-fund --no-package-lock --loglevel=error
	npm install --prefix tests/external/pyright --no-audit --no-fund --no-package-lock --loglevel=error
	$(BIN)/python -m pytest tests/external

SEED ?= 1
COUNT ?= 100000
equivalence: $(DEV) ## COUNT random sagas under faults, interpreted and compiled, from SEED
	PYTHONPATH=tests $(BIN)/python -m compile.equivalence --seed $(SEED) --count $(COUNT)

KILLS ?= 1000
campaign: $(DEV) ## KILLS orchestrators and their services killed at random, from SEED; then the books
	PYTHONPATH=tests $(BIN)/python -m campaign --kills $(KILLS) --seed $(SEED)

bless: $(DEV) ## rewrite golden files and expected messages; read the difference
	$(BIN)/python -m pytest --bless

compiled: $(DEV) ## the compiled sagas of the example application
	$(BIN)/saga compile examples/shop/shop.saga -o examples/shop_api/sagas

generated: $(DEV) ## what is made from the grammar: highlighting
	$(BIN)/python -m sagalang.syntax.textmate > grammar/saga.tmLanguage.json

bench: $(DEV) ## the benchmarks, each with its peer and the ratio
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/front_end.py
	$(BIN)/python benchmarks/policies.py
	$(BIN)/python benchmarks/idempotency.py
	$(BIN)/python benchmarks/verify.py
	$(BIN)/python benchmarks/diagrams.py
	$(BIN)/python benchmarks/compiled.py
	$(BIN)/python benchmarks/lines.py
	$(BIN)/python benchmarks/whole_run.py
	$(BIN)/python benchmarks/durable.py --seconds 1 --rounds 3

servers: $(DEV) ## what the tests of PostgreSQL and Redis stores need; without it they are skipped
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[servers]'
	command -v redis-server || { apt-get update -q && apt-get install -yq --no-install-recommends redis-server; }

dist: $(DEV) ## wheel and sdist, tried outside the source tree
	rm -rf dist
	$(BIN)/python -m build --outdir dist . > dist.log 2>&1 || { cat dist.log; exit 1; }
	rm dist.log
	$(PYTHON) tests/dist/try_wheel.py dist

clean: ## what can be made again
	rm -rf dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .saga-services equivalence-differences

.PHONY: help setup demo test check external equivalence campaign bless compiled generated bench servers dist clean
