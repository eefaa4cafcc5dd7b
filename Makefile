# One list of commands for people and for CI. `make` alone prints it.
VENV := .venv
BIN  := $(VENV)/bin
PY   := $(BIN)/python
UV   := .tools/bin/uv
# Modules are dealt to as many processes as there are cores, four at most: each may start Spark and Ray of its own.
DEALT := -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder
SLOW := cluster or jvm or ray or postgres or kernel or process or s3 or thorough

.DEFAULT_GOAL := help
# The targets share one virtual environment and one machine; they are steps, not a graph to run at once.
.NOTPARALLEL:
.PHONY: help setup demo test test-fast test-lab labextension test-cluster test-airflow test-papermill test-torch chaos lint bench bench-start bench-promote bench-backfill bench-spark bench-service bench-sequence bench-environment bench-gateway bench-training bench-lab lab docs notebooks envs lock jars

help:      ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:     ## everything a developer needs: system packages, and .venv with the test set
	@sh scripts/system-packages.sh test
	@sh scripts/install.sh test

demo:      ## the main job on real data, headless, with a summary (needs Python only)
	@sh scripts/install.sh demo
	@$(BIN)/nbplat demo run

test:      ## lint, then every test
	@sh scripts/system-packages.sh test
	@$(MAKE) --no-print-directory lint
	@sh scripts/labextension.sh lint
	@sh scripts/labextension.sh test
	@sh scripts/labextension.sh build
	$(PY) scripts/run_tests.py --durations 25 -m "not cluster"

test-fast: ## the inner loop: no Java, PostgreSQL, S3, kernels or killed processes; about 3 minutes
	@sh scripts/install.sh test
	$(PY) -m pytest $(DEALT) -m "not ($(SLOW))"

labextension: ## build the JupyterLab panel from labextension/ and link it into .venv (fetches Node where there is none)
	@sh scripts/install.sh demo
	@sh scripts/labextension.sh build

test-lab:  ## the panel: its linters, its unit tests, and a real browser on a real JupyterLab
	@sh scripts/system-packages.sh test
	@sh scripts/install.sh test
	@sh scripts/labextension.sh lint
	@sh scripts/labextension.sh test
	@sh scripts/labextension.sh build
	$(PY) -m pytest -q tests/lab

test-cluster: ## environments and sessions on YARN, Spark Connect and Kubernetes' submission; fetches what they need once
	@sh scripts/system-packages.sh test
	@sh scripts/install.sh test
	$(PY) -m pytest -q -m cluster

test-airflow: ## Airflow's Livy operator against a real service; makes build/airflow once (about 210 MB)
	@sh scripts/system-packages.sh test
	@sh scripts/install.sh test
	@sh scripts/apart.sh airflow
	$(PY) -m pytest -q tests/e2e/test_airflow.py

test-papermill: ## papermill with our magics and kernels; makes build/papermill once (about 20 MB)
	@sh scripts/system-packages.sh test
	@sh scripts/install.sh test
	@sh scripts/apart.sh papermill
	$(PY) -m pytest -q tests/e2e/test_papermill.py

test-torch: ## batches as tensors, and a model on them; makes build/torch once (7 GB; 700 MB where a build for CPUs is at hand)
	@sh scripts/system-packages.sh test
	@sh scripts/install.sh test
	@sh scripts/apart.sh torch
	$${NBPLAT_TORCH:-build/torch}/bin/python -m pytest -q -p no:cacheprovider tests/training/test_torch.py \
		tests/sequence/test_batches.py::test_torch_gets_tensors

chaos:     ## kill -9 of worker, service and step at random moments of 100 backfills, 100 sequences, 11 sessions (an hour)
	@sh scripts/install.sh test
	NBPLAT_CHAOS_ROUNDS=100 $(PY) -m pytest -q tests/e2e/test_chaos.py tests/e2e/test_sequence_chaos.py --timeout 600
	NBPLAT_CHAOS_ROUNDS=20 $(PY) -m pytest -q tests/e2e/test_session_chaos.py tests/e2e/test_gateway.py -k kill --timeout 900

lint:      ## ruff, mypy, import-linter, codespell, lock guard
	@sh scripts/install.sh test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell
	$(PY) scripts/check_lock.py

bench:     ## measure the promises into benchmarks/RESULTS.md (one area: make bench-promote, …)
	@sh scripts/install.sh test
	$(PY) -m benchmarks

bench-start bench-promote bench-backfill bench-spark bench-service bench-sequence bench-environment bench-gateway bench-training bench-lab:
	@sh scripts/install.sh test
	$(PY) -m benchmarks $(@:bench-%=%)

lab:       ## JupyterLab on the quickstart notebook
	@sh scripts/install.sh demo
	@sh scripts/labextension.sh build || echo 'going on without the panel' >&2
	@$(BIN)/jupyter trust notebooks/*.ipynb >/dev/null
	$(BIN)/jupyter lab --LabApp.default_url=/lab/tree/notebooks/01_quickstart.ipynb

docs:      ## write the generated pages again and check every link
	@sh scripts/install.sh demo
	$(PY) scripts/docs.py

notebooks: ## run the notebooks but the quickstart in fresh folders and keep their outputs (Java; the jar of `make jars`)
	@sh scripts/system-packages.sh java
	@sh scripts/install.sh test
	NBPLAT_JARS=$${NBPLAT_JARS:-$(CURDIR)/build/jars} $(BIN)/nbplat jars fetch
	NBPLAT_JARS=$${NBPLAT_JARS:-$(CURDIR)/build/jars} $(PY) scripts/notebooks.py notebooks/0[2-6]_*.ipynb

jars:      ## fetch the Iceberg runtime that Spark needs (optional)
	@sh scripts/system-packages.sh java
	@sh scripts/install.sh test
	$(BIN)/nbplat jars fetch

envs:      ## the channel of envs/ from what .venv has; their locks held against it
	@sh scripts/install.sh test
	$(BIN)/nbplat env channel make envs/channel --requirements envs/channel.txt
	$(BIN)/nbplat env lock --check

lock:      ## solve the dependencies again (make lock UPGRADE=--upgrade for newer ones)
	@sh scripts/bootstrap.sh
	@sh scripts/lock.sh $(UPGRADE)
