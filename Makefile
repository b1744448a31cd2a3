# `make` prints this list. Everything runs in .venv, which the first target that needs it makes.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Of a hundred packages few modules are used: they are compiled when they are first imported, and then once
PIP := $(BIN)/pip install --quiet --no-compile --constraint constraints.txt
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage lint types docs site bench readers browser soak fuzz scale release clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

$(VENV)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "visprep needs Python 3.11 or newer: make PYTHON=python3.12 ..." >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/demo: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/setup: $(VENV)/python pyproject.toml constraints.txt
	$(PIP) --editable '.[dev,torch,video,demo,ray]'
	@touch $@ $(VENV)/demo

$(VENV)/site: $(VENV)/setup
	$(PIP) --editable '.[docs]'
	@touch $@

setup: $(VENV)/setup ## Install visprep with everything that its tests need into .venv

demo: $(VENV)/demo ## Walk the whole road offline, on the embedded sample
	$(BIN)/visprep demo

test: $(VENV)/setup ## Run all tests (but those that need the internet)
	$(BIN)/pytest -n 3 --dist worksteal -m 'not online'

coverage: $(VENV)/setup ## Run all tests and list the modules of src whose branches they take least (an hour: CI does not)
	rm -rf build/coverage
	-$(BIN)/coverage run -m pytest -n 2 --dist worksteal --timeout 600 -m 'not online'
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage json --quiet -o build/coverage/coverage.json
	$(BIN)/python scripts/branches_taken.py build/coverage/coverage.json

lint: $(VENV)/setup ## Check style, format, and that imports point down
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/setup ## Check the types of src
	$(BIN)/mypy

docs: $(VENV)/setup ## Check that the README and docs say what the code does
	$(BIN)/python scripts/make_docs.py --check
	$(BIN)/pytest -q tests/test_readme.py tests/test_docs.py

site: $(VENV)/site ## Build the docs as a site into site/, and run the notebook in Jupyter
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	$(BIN)/pytest -q tests/test_site.py tests/test_notebook.py

bench: $(VENV)/setup ## Run the benchmarks and print their ratios
	$(BIN)/python scripts/bench_help.py
	$(BIN)/python scripts/bench_verify.py
	$(BIN)/python scripts/bench_archives.py
	$(BIN)/python scripts/bench_coco.py
	$(BIN)/python scripts/bench_convert.py
	$(BIN)/python scripts/bench_images.py
	$(BIN)/python scripts/bench_far.py
	$(BIN)/python scripts/bench_scale.py --largest 4

readers: $(VENV)/setup ## Read what we write with what others read COCO, YOLO, VOC, tasks and Croissant with, each in its own environment
	$(BIN)/python scripts/readers.py
	$(BIN)/python scripts/converted_readers.py
	$(BIN)/python scripts/metadata_readers.py

$(VENV)/browser: $(VENV)/setup
	$(PIP) --editable '.[browser]'
	@touch $@

browser: $(VENV)/browser ## Look at a report's page in a real browser (Chromium from the system's packages)
	$(BIN)/pytest -q tests/test_page_browser.py

KILLS ?= 300
soak: $(VENV)/setup ## Kill downloads, uploads, conversions and savers at KILLS random moments each, and compare what is left
	VISPREP_KILLS=$(KILLS) $(BIN)/pytest -n 2 --timeout 0 tests/test_road.py tests/test_sync_faults.py tests/test_coco_download.py \
		tests/test_open_images_roads.py tests/test_convert_killed.py tests/test_runs_killed.py \
		tests/test_run_logs_killed.py -k killed_at_random

EXAMPLES ?= 1000
fuzz: $(VENV)/setup ## Give every parser EXAMPLES damaged inputs, new ones each time
	VISPREP_FUZZ=$(EXAMPLES) $(BIN)/pytest -n 2 --timeout 0 tests/test_fuzz.py

NAMES ?= 10000000
scale: $(VENV)/setup ## Copy places of NAMES files that hold nothing, see that memory stays small, and measure how costs grow
	VISPREP_NAMES=$(NAMES) $(BIN)/pytest -s --timeout 0 tests/test_scale.py
	$(BIN)/python scripts/simulate_scale.py
	$(BIN)/python scripts/bench_scale.py

release: $(VENV)/setup ## Build sdist and wheel into dist, and try each in an empty environment
	$(BIN)/python scripts/try_release.py

clean: ## Remove .venv
	rm -rf $(VENV)
