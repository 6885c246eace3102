PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help install dev demo test test-all test-pythons platforms lint format types docs bounds bench soak fuzz notebooks constraints clean

help: ## Show what there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade -c constraints.txt pip setuptools
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[report]'
	@touch $@

$(VENV)/.dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(VENV)/.installed ## Make .venv with assay in it
dev: $(VENV)/.dev ## The same, with what tests, lint and notebooks need

demo: install ## Curate the small real pool that ships with assay
	$(BIN)/assay demo

test: dev ## Run the tests but for the slow ones
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

test-all: dev ## Run every test
	$(BIN)/python -m pytest

test-pythons: dev ## Test every Python 3.11 to 3.14 that is here or that Debian offers; resolve for the others
	$(BIN)/python deploy/pythons.py

platforms: dev ## Resolve the requirements from wheels for other systems, and write the table
	$(BIN)/python deploy/platforms.py

docs: dev ## Build the documentation into build/site; a broken link fails
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# compiled anew with checks, in a cache of their own: Numba's cache does not tell the two apart
bounds: dev ## Run the tests of the compiled kernels with checks of array bounds
	NUMBA_BOUNDSCHECK=1 NUMBA_CACHE_DIR=$(CURDIR)/.numba_bounds $(BIN)/python -m pytest -q -m "not slow" \
		-n 2 --dist loadfile \
		tests/index/algorithms tests/index/embedding tests/index/graph tests/index/knn tests/index/layout \
		tests/index/ngrams tests/index/nx tests/index/search tests/index/vectors \
		tests/selection/algorithms tests/selection/importance tests/selection/rankers \
		tests/selection/scorers tests/selection/selectors tests/selection/steps \
		tests/storage/hashing tests/storage/reading

lint: dev ## Check format and lint
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: dev ## Format, and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: dev ## Check the types
	MYPYPATH=typings $(BIN)/mypy -p assay

bench: dev ## Run the benchmarks that take minutes (they print their tables)
	for b in $(filter-out benchmarks/soak.py benchmarks/fuzz.py,$(wildcard benchmarks/[a-z]*.py)); do $(BIN)/python $$b || exit 1; done

fuzz: dev ## Fuzz readers, configurations, queries and commands for ten minutes
	$(BIN)/python benchmarks/fuzz.py --minutes 10

soak: dev ## Try for long what the service promises: kills, readers, nights, schedules
	$(BIN)/python benchmarks/soak.py

notebooks: dev ## Execute the notebooks (notebooks/execute.py --write stores their outputs)
	$(BIN)/python notebooks/execute.py

constraints: ## Resolve the newest versions, test them, and write them to constraints.txt
	rm -rf $(VENV)-newest && $(PYTHON) -m venv $(VENV)-newest
	$(VENV)-newest/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip setuptools
	$(VENV)-newest/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	$(VENV)-newest/bin/python -m pytest -m "not slow" -n 2 --dist loadfile
	{ echo "# The whole set that was tested together, on Python 3.11."; $(VENV)-newest/bin/python -m pip freeze --all --exclude-editable --exclude pip; } > constraints.new
	mv constraints.new constraints.txt
	rm -rf $(VENV)-newest && $(MAKE) --no-print-directory dev

clean: ## Remove what was made here
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .numba_bounds *.egg-info
