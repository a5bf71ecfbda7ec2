# Two commands matter: `make run` and `make test`. `make help` lists the others.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run demo test lint bench faults fuzz kerberos translations vendor lock browser clean

help: ## list the commands
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

$(VENV)/.made:
	@$(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing: on Debian, apt install python3-venv" >&2; exit 1; }
	@touch $@

$(VENV)/.run: deploy/requirements.txt pyproject.toml | $(VENV)/.made
	@echo "Installing the portal's dependencies into $(VENV) ..."
	@$(PIP) --require-hashes -r deploy/requirements.txt
	@$(PIP) --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.test: deploy/requirements-test.txt $(VENV)/.run
	@echo "Installing the test tools into $(VENV) ..."
	@$(PIP) --require-hashes -r deploy/requirements-test.txt
	@touch $@

$(VENV)/.bench: deploy/requirements-bench.txt $(VENV)/.test
	@echo "Installing the benchmark's peers into $(VENV) ..."
	@$(PIP) --require-hashes -r deploy/requirements-bench.txt
	@touch $@

# What has no wheel is built here, with tools that are locked as well: the Python package and the machine's libkrb5 meet.
$(VENV)/.kerberos: deploy/requirements-kerberos-build.txt deploy/requirements-kerberos.txt $(VENV)/.run
	@command -v krb5-config >/dev/null && command -v gcc >/dev/null || { echo "A compiler and Kerberos' headers are missing: on Debian, apt install gcc python3-dev libkrb5-dev" >&2; exit 1; }
	@echo "Building Kerberos sign-in into $(VENV) ..."
	@$(PIP) --require-hashes -r deploy/requirements-kerberos-build.txt
	@$(PIP) --require-hashes --no-build-isolation -r deploy/requirements-kerberos.txt
	@touch $@

run: $(VENV)/.run ## start the portal at http://127.0.0.1:8000 (Ctrl-C ends it)
	@exec $(BIN)/portal run

demo: $(VENV)/.test ## the same with stand-ins for Google, Microsoft and a mail server: try everything with no account
	@exec $(BIN)/python -m tests.demo $(ARGS)

test: $(VENV)/.test ## run every test
	@.ci/prepare
	@nice -n 19 $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile $(ARGS)

lint: $(VENV)/.test ## check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

bench: $(VENV)/.bench ## measure against peers, side by side; writes bench/results.json
	@$(BIN)/python -m bench

faults: $(VENV)/.test ## kill workers again and again while they send, and count what was lost and doubled
	@$(BIN)/python -m tests.faults $(ARGS)

fuzz: $(VENV)/.test ## try what strangers may send, ten minutes of it (ARGS="--seconds 60 tests/mail": one room)
	@$(BIN)/python -m tests.fuzz $(ARGS)

kerberos: $(VENV)/.kerberos ## let SMTP connections sign in as this host (needs gcc, python3-dev and libkrb5-dev)

translations: $(VENV)/.run ## carry the languages over to the texts of today (portal/translations)
	@$(BIN)/python deploy/translations.py

vendor: ## fetch the files of static/vendor anew (needs npm)
	@$(PYTHON) deploy/vendor.py

lock: ## write the lock files of deploy/ anew (needs uv)
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -o deploy/requirements.txt pyproject.toml deploy/build.in
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -c deploy/requirements.txt --extra test -o deploy/requirements-test.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -o deploy/requirements-kerberos-build.txt deploy/kerberos-build.in
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -c deploy/requirements.txt --extra kerberos -o deploy/requirements-kerberos.txt pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --no-header -c deploy/requirements-test.txt --extra bench -o deploy/requirements-bench.txt pyproject.toml

clean: ## remove the virtual environment and caches (never instance/)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
