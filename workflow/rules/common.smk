# The configuration, the paths of an experiment, and what all rules share.
import json
import os
import shlex
import sys
from math import ceil
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from qunlearn import plan, preflight
from qunlearn.experiment import config as configuration, configfiles, controls, inputs
from qunlearn.experiment import labels as style, sweep as grids
from qunlearn.models import sources
from qunlearn.quantize.method import method_of, module_file
from qunlearn.report.footnotes import footnotes, learning_rates
from qunlearn.run import unlock
from qunlearn.run.errors import InputError
from qunlearn.run.fingerprint import code_version
from qunlearn.run.interpreter import job_python
from qunlearn.run.manifest import digest
from qunlearn.training.objectives import Objective

try:
    sources.check_path(str(ROOT))
    if workflow.is_main_process:  # jobs get what it has read
        configfiles.check_flags(sys.argv)
        for path in workflow.overwrite_configfiles:
            configfiles.read_one(Path(os.path.relpath(path)))
    CONFIG = configuration.resolve(configfiles.with_words(config, workflow.config_settings.config))
    if workflow.is_main_process:
        unlock.unlock_after_kill()
        inputs.check_given(CONFIG)
except InputError as error:
    sys.exit(f"error: {error}")

# What of it a result can depend on: the report shows it, and is written anew when it changes.
TOLD = {key: value for key, value in CONFIG.items() if key not in ("resources", "python")}
RESULTS = f"results/{CONFIG['experiment']}"


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


# Swept cells, their trainings, and whether their choice has questions of its own.
SWEPT = configuration.swept_cells(CONFIG)
POINTS = {cell: configuration.points_of(CONFIG, *cell.split("/")) for cell in SWEPT}
SPLIT_QUESTIONS = configuration.splits_questions(CONFIG)
# What of the evaluation's settings decides how candidates are evaluated.
ASKING = {
    key: value
    for key, value in CONFIG["evaluate"].items()
    if key not in ("verbmem_tokens", "min_k")
}
CELLS = configuration.cells(CONFIG)  # of the tables, <corpus>/<model id>/<precision>
# The evaluations, and what they must be of to go into this experiment's tables.
EVALUATED = {"evaluations": f"{RESULTS}/eval", "cells": CELLS, **CONFIG["evaluate"]}
EVALUATED |= {"split_questions": SPLIT_QUESTIONS}
TRAINED = [f"{run.corpus}/{run.model}" for run in configuration.runs(CONFIG)]
# Every update that is laid on the grids; sparing is no update of its own.
MEASURED = [
    f"{run.corpus}/{run.model}"
    for run in configuration.variants(CONFIG)
    if not run.adapter.startswith(controls.SPARE)
]
REFERENCE_PRECISION = "bf16"  # of PrivLeak and reversion
GRIDS = [name for name in CONFIG["precisions"] if name != REFERENCE_PRECISION]
# Of a base, target or retrain to be fetched, <corpus>/<name>: where it and its tokenizer come from.
FETCHED = {
    f"{corpus}/{name}": {
        "source": sources.source_of(CONFIG, name, corpus),
        "tokenizer": sources.tokenizer_of(CONFIG, corpus),
    }
    for corpus in CONFIG["corpora"]
    for name in sources.fetched(CONFIG, corpus)
}
# The script that brings the corpora: make_mini_corpus.py or import_corpus.py.
CORPUS_FROM = "make_mini" if CONFIG["corpus"]["source"] == "mini" else "import"
# A base, target or retrain that is trained here, with a folder a seed where each has its own.
REFERENCE = configuration.reference_id(CONFIG, "{name}", "{seed}")

RECORDS = expand("<results>/records/unlearned/{model}", model=TRAINED)
SURVIVAL = expand("<results>/survival/{model}", model=MEASURED)
SELECTIONS = expand("<results>/selection/{cell}.json", cell=SWEPT)
# Pages of the report: its category there, and what it is called.
TITLES = {
    "configuration": ("Provenance", "Configuration"),
    "versions": ("Provenance", "What ran, with what"),
    "reversion": ("Forgetting", "Reversion, all metrics (table)"),
    "mechanism": ("Mechanism", "What arrives of the updates (table)"),
    "claims": ("Claims", "The paper's claims, judged"),
    **({"candidates": ("Selection", "All candidates, and why one was chosen")} if SWEPT else {}),
}
PAGES = ["story.rst", "answer.txt", *(f"{name}.html" for name in TITLES)]
PAGES = expand("<results>/report/{page}", page=PAGES)
# What of the models stays on the disk; docs/disk.md has the table.
KEEP = CONFIG["keep_models"]
# Where models go once they were read, their readers come before the next training: few are there at
# once. Where all stay, long jobs come first: the many short ones after them fill all cores.
READERS, TRAININGS = (0, 1) if KEEP else (1, 0)

CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)
PYTHON = CONFIG["python"] or ("python" if CONDA else job_python(ROOT))


def word(text):
    """One word of a shell command; Snakemake fills in what stands between single braces."""
    return shlex.quote(str(text)).replace("{", "{{").replace("}", "}}")


# Every shell command is `run SCRIPT FLAGS`; a GPU's or a cluster's shell gets the same surroundings.
# `fetch SCRIPT FLAGS` may use the network as well, unless the user himself has set HF_HUB_OFFLINE.
# `record FOLDER TO` copies what of an unlearned model always stays: its log, manifest and adapter.
# `warn LOG` shows the warnings of a log on the screen too.
# Asked to end (SIGTERM), the shell waits for the script, which knows how; and the script ends when
# this Snakemake, or the one of a cluster's job, is gone.
# What a user has in ~/.local would come before the packages of a conda environment.
shell.prefix(
    "set -euo pipefail; trap '' TERM; export SNAKEMAKE_PID=$PPID; "
    f"export PYTHONPATH={word(ROOT / 'src')} {'PYTHONNOUSERSITE=1' if CONDA else ''} "
    "OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false "
    'USERS_OFFLINE="${{HF_HUB_OFFLINE:-}}" HF_HUB_OFFLINE=1 '
    f"RESULTS={RESULTS}; "
    f"run() ( {word(PYTHON)} {word(ROOT / 'workflow/scripts')}/\"$@\" ); "
    'fetch() ( export HF_HUB_OFFLINE="$USERS_OFFLINE"; run "$@" ); '
    'record() ( mkdir -p "$2"; to=$(realpath "$2"); cd "$1"; '
    "for file in manifest.json train_log.jsonl adapter_*; do "
    'if [ -e "$file" ]; then cp "$file" "$to"; fi; done ); '
    'warn() ( grep "^warning: " "$1" | sort -u >&2 || true ); '
)


REFERENCE_MODEL = r"(?:target|retrain)(?:/seed\d+)?"
# Of a model of which weights are spared there is no whole that could be quantized.
WHOLE_MODEL = rf"{REFERENCE_MODEL}|[a-z_]+/(?!spare_)[a-z0-9_.]+/seed\d+"


def resource(name):
    """The content of a file or folder of resources/: a parameter, so that a change is seen."""
    return digest(ROOT / "resources" / name)[:12]


def code(name, *precisions, objective=None, by_name=None):
    """What of a script's code decides its output: a parameter, so that a change runs it again.

    Args:
        precisions: whose methods it uses; it finds them by name, not by importing them.
        objective: whose terms it uses, likewise.
        by_name: a module of the library that it uses, likewise.
    """
    named = Objective.parse(objective).module_files if objective else []
    if by_name:
        named.append(ROOT / f"src/qunlearn/{by_name}.py")
    found = [code_version(ROOT / "workflow/scripts" / name, *named)]
    modules = dict.fromkeys(module_file(precision) for precision in precisions)
    return "-".join(found + [code_version(module) for module in modules])


def flags(settings):
    """Settings as the flags of a script; a list is several words."""
    return " ".join(
        shlex.join([f"--{key.replace('_', '-')}", *map(str, words)])
        for key, value in settings.items()
        for words in [value if isinstance(value, list) else [value]]
    )


# Memory and time of each kind of job; the plan's, once preflight has looked at the models.
NEEDS = plan.needs(CONFIG, [])


def named(kind, wildcards):
    """A kind of job: its name, or what a function makes of a job's wildcards."""
    return kind(wildcards) if callable(kind) else kind


def cores(kind):
    """The threads of a kind of job."""
    return lambda wildcards: CONFIG["resources"][named(kind, wildcards)]["threads"]


def needs(kind, times=1):
    """The resources of a kind of job: each further attempt has half as much memory again and the
    runtime once more.

    Args:
        times: how much longer it takes than its kind.
    """
    return {
        "mem_mb": lambda wildcards, attempt: ceil(
            1.5 ** (attempt - 1) * NEEDS[named(kind, wildcards)]["mem_mb"]
        ),
        "runtime": lambda wildcards, attempt: (
            attempt * times * NEEDS[named(kind, wildcards)]["runtime"]
        ),
        "gpu": lambda wildcards: CONFIG["resources"][named(kind, wildcards)]["gpu"],
    }
