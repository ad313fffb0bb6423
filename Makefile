PYTHON ?= python3
PORT ?= 5000
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: run install install-npm test test-lowest test-slow bench soak screenshot lock check format clean

run: .venv/served
	$(BIN)/flask run --host 127.0.0.1 --port $(PORT)

install: .venv/equipped

install-npm: tests/npm/node_modules/installed

test: .venv/developed
	$(BIN)/pytest --numprocesses=2 $(OPTIONS)

test-lowest: .venv-lowest/developed
	.venv-lowest/bin/pytest --numprocesses=2

test-slow: .venv/equipped
	$(BIN)/pytest -m slow --numprocesses=3 --dist=loadfile --durations=20

bench: .venv/equipped
	$(BIN)/python -m tools.bench
	$(BIN)/python -m tools.capacity

soak: .venv/equipped
	$(BIN)/python -m tools.soak

screenshot: .venv/equipped
	$(BIN)/python -m tools.screenshot

# The newest versions that requirements.txt allows, for every Python and platform.
lock: .venv/equipped
	UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-strip-extras --generate-hashes --output-file requirements.lock requirements.txt

# mypy knows a package by its folder: it sees one of links to the modules.
check: .venv/equipped
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	rm -rf .venv/types && mkdir -p .venv/types/order_statuses
	cd .venv/types/order_statuses && ln -s ../../../*.py ../../../migrations . && mv order_statuses.py __init__.py
	ln -s ../../tests ../../tools .venv/types/
	cd .venv/types && ../bin/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache -p order_statuses -p tests -p tools

format: .venv/developed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-lowest tests/npm/node_modules build dist *.egg-info .coverage .*_cache

# A stamp a list of requirements: nothing is installed twice.
# With the newest pip: the one of Python 3.11 takes three times as long.
.venv/created:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	@echo "Installing into .venv, which takes about a minute ..."
	$(PYTHON) -m venv --upgrade-deps .venv
	touch $@

.venv/served: .venv/created requirements.txt
	$(INSTALL) -r requirements.txt
	touch $@

.venv/developed: .venv/created requirements.txt requirements-dev.txt
	$(INSTALL) -r requirements-dev.txt
	touch .venv/served $@

.venv/equipped: .venv/developed tools/requirements.txt
	$(INSTALL) -r tools/requirements.txt
	touch $@

# Tools that read the contract, for make test-slow; an older Node is refused.
tests/npm/node_modules/installed: tests/npm/package-lock.json
	cd tests/npm && npm ci --ignore-scripts
	touch $@

# The lowest versions that requirements.txt allows.
.venv-lowest/developed: .venv/created requirements.txt requirements-dev.txt
	$(PYTHON) -m venv --upgrade-deps --clear .venv-lowest
	sed -nE 's/ *#.*//; s/\[.*\]//; s/>=/==/p' requirements.txt > .venv-lowest/lowest.txt
	.venv-lowest/bin/pip install --quiet --disable-pip-version-check -r requirements-dev.txt -c .venv-lowest/lowest.txt
	touch $@
