# The configuration, the paths of an experiment, and what all rules share.
import json
import os
import shlex
import sys
from functools import partial
from itertools import product
from math import ceil
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

try:
    from qunlearn import plan, preflight
    from qunlearn.experiment import config as configuration, configfiles, controls, inputs
    from qunlearn.experiment import labels as style, sweep as grids
    from qunlearn.experiment.names import BEFORE
    from qunlearn.models import sources
    from qunlearn.quantize.method import method_of, module_file
    from qunlearn.report.footnotes import footnotes, learning_rates
    from qunlearn.run import unlock
    from qunlearn.run.errors import InputError
    from qunlearn.run.fingerprint import code_version
    from qunlearn.run.hardware import job_python
    from qunlearn.run.manifest import digest
    from qunlearn.training.objectives import Objective
except ModuleNotFoundError as missing:
    sys.exit(
        f"error: {sys.executable}: Snakemake's Python has no {missing.name}; run `make setup`, then "
        "`. .venv/bin/activate`"
    )

try:
    sources.check_path(str(ROOT))
    if workflow.is_main_process:  # jobs get what it has read
        if not os.access(".", os.W_OK):
            raise InputError(
                f"{Path.cwd()}: cannot be written; copy the project, or use --directory"
            )
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
POINTS = {cell: configuration.points_of(CONFIG, cell) for cell in SWEPT}
SPLIT_QUESTIONS = configuration.splits_questions(CONFIG)
# What of the evaluation's settings decides how candidates are evaluated.
ASKING = dict(CONFIG["evaluate"])
del ASKING["verbmem_tokens"], ASKING["min_k"]
CELLS = configuration.cells(CONFIG)  # of the tables, <corpus>/<model id>/<precision>
OF_ALL, TABLES = {"results": RESULTS, "cells": CELLS}, {"output": f"{RESULTS}/tables"}
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
GRIDS = [name for name in CONFIG["precisions"] if name != BEFORE]
# Of a base, target or retrain to be fetched, <corpus>/<name>: where it and its tokenizer come from.
FETCHED = {}
for corpus in CONFIG["corpora"]:
    for name in sources.fetched(CONFIG, corpus):
        given = {"source": sources.source_of(CONFIG, name, corpus)}
        given |= {"tokenizer": sources.tokenizer_of(CONFIG, corpus)}
        found = {flag: sources.pinned(CONFIG, one) for flag, one in given.items() if one}
        FETCHED[f"{corpus}/{name}"] = found
# A base, target or retrain that is trained here, with a folder a seed where each has its own.
REFERENCE = configuration.reference_id(CONFIG, "{name}", "{seed}")

DATA, CHECKPOINTS = "<results>/data/{corpus}", {"checkpoints": f"{RESULTS}/checkpoints"}
RECORDS = expand("<results>/records/unlearned/{model}", model=TRAINED)
SURVIVAL = expand("<results>/survival/{model}", model=MEASURED)
SELECTIONS = expand("<results>/selection/{cell}.json", cell=SWEPT)
# What of the models stays on the disk; docs/disk.md has the table.
KEEP = CONFIG["keep_models"]
# Where models go once they were read, their readers come before the next training: few are there at
# once. Where all stay, long jobs come first: the many short ones after them fill all cores.
READERS, TRAININGS = (0, 1) if KEEP else (1, 0)

REFERENCE_MODEL = r"(?:target|retrain)(?:/seed\d+)?"
# Of a model of which weights are spared there is no whole that could be quantized.
WHOLE_MODEL = rf"{REFERENCE_MODEL}|[a-z_]+/(?!spare_)[a-z0-9_.]+/seed\d+"

CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)
PYTHON = CONFIG["python"] or ("python" if CONDA else job_python(ROOT))


def word(text):
    """One word of a shell command; Snakemake fills in what stands between single braces."""
    return shlex.quote(str(text)).replace("{", "{{").replace("}", "}}")


# Every shell command is COMMAND; a GPU's or a cluster's shell gets the same surroundings.
# `run SCRIPT FLAGS` lets only what fetches use the network, unless the user himself has set
# HF_HUB_OFFLINE; `warn LOG` shows the warnings of a log on the screen too.
# Asked to end (SIGTERM), the shell waits for the script, which knows how; and the script ends when
# this Snakemake, or the one of a cluster's job, is gone.
# What a user has in ~/.local would come before the packages of a conda environment.
shell.prefix(
    "set -euo pipefail; trap '' TERM; export SNAKEMAKE_PID=$PPID; "
    f"export PYTHONPATH={word(ROOT / 'src')} {'PYTHONNOUSERSITE=1' if CONDA else ''} "
    "OMP_WAIT_POLICY=passive TOKENIZERS_PARALLELISM=false; "
    "run() ( case $1 in fetch_model.py | make_corpus.py) ;; *) export HF_HUB_OFFLINE=1 ;; esac; "
    f"{word(PYTHON)} {word(ROOT / 'workflow/scripts')}/\"$@\" ); "
    'warn() ( grep "^warning: " "$1" | sort -u >&2 || true ); '
)
COMMAND = "run {params.script}.py {params.files} {params.flags} > {log:q} 2>&1; warn {log:q}"


def quantizing(wildcards):
    """The kind of job that quantizes: methods that calibrate need more."""
    return "gptq" if method_of(wildcards.precision).calibrated else "quantize"


def for_method(wildcards):
    """The environment of a precision's method."""
    return method_of(wildcards.precision).environment


# Of each rule: its script, the environment of this, and its kind of job, a key of `resources`.
STEPS = {
    "corpus": ("make_corpus", "data", "data"),
    "split_questions": ("split_questions", "data", "data"),
    "fetch_model": ("fetch_model", "train", "data"),
    "finetune": ("finetune", "train", "train"),
    "unlearn": ("unlearn", "train", "unlearn"),
    "sweep": ("unlearn", "train", "unlearn"),
    "scale_lora": ("scale_lora", "train", "survival"),
    "match_norm": ("match_norm", "train", "unlearn"),
    "ask_candidates": ("ask_candidates", "evaluate", "evaluate"),
    "ask_reference": ("ask_candidates", "evaluate", "evaluate"),
    "select_candidate": ("select_candidate", "tables", "tables"),
    "quantize": ("quantize", for_method, quantizing),
    "quantize_spared": ("quantize", for_method, quantizing),
    "evaluate": ("evaluate", "evaluate", "evaluate"),
    "survival": ("measure_survival", "quantize", "survival"),
    "analyse": ("analyse", "tables", "tables"),
    "claims": ("judge_claims", "tables", "tables"),
    "write_tables": ("write_tables", "tables", "tables"),
    "model_cards": ("write_model_cards", "tables", "tables"),
    "figure": ("plot", "tables", "tables"),
    "page": ("write_page", "tables", "tables"),
    "words": ("write_page", "tables", "tables"),
}


def flags(settings):
    """Settings as the flags of a script; a list is several words, an empty one no flag."""
    return " ".join(
        shlex.join([f"--{key.replace('_', '-')}", *map(str, words)])
        for key, value in settings.items()
        for words in [value if isinstance(value, (list, tuple)) else [value]]
        if words
    )


def files(wildcards, input, output):
    """Flags of a job's inputs and outputs that have names, which are the names of the flags."""
    return flags({name: path for part in (input, output) for name, path in part.items()})


def step(rule, given="", by_name=lambda wildcards: []):
    """The parameters of a rule, of which its command is made; a job runs again when one changes.

    Args:
        given: flags of the script, as text or as a function of the wildcards.
        by_name: a function of the wildcards: the modules of the library that decide the output and
            that the script finds by their names, not by importing them.
    """
    script, environment, _ = STEPS[rule]
    file = ROOT / f"workflow/scripts/{script}.py"
    found = {"script": script, "environment": environment, "flags": given, "files": files}
    return found | {"code": lambda wildcards: code_version(file, *by_name(wildcards))}


def resource(name):
    """The content of a file or folder of resources/: a parameter, so that a change is seen."""
    return digest(ROOT / "resources" / name)[:12]


# What each kind of job needs; memory and time are the plan's, once preflight has looked at models.
NEEDS = plan.needs(CONFIG, [])


def need(name, times=lambda attempt: 1):
    """A resource of a rule's jobs, in its unit; the search for a norm trains again and again.

    Args:
        times: the first attempt's that a further attempt has.
    """

    def needed(wildcards, rulename, attempt):
        kind = STEPS[rulename][2]
        own = NEEDS[kind(wildcards) if callable(kind) else kind][name]
        searches = (rulename, name) == ("match_norm", "runtime")
        runs = CONFIG["control_settings"]["search_runs"] if searches else 1
        return ceil(times(attempt) * runs * own)

    return needed
