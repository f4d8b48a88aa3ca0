# The configuration, an experiment's paths, and what all rules share.
import json
import os
import re
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
    from qunlearn.experiment import labels as style
    from qunlearn.experiment.names import AFTER, BEFORE, GIVEN
    from qunlearn.models import sources
    from qunlearn.models.checkpoints import is_adapter
    from qunlearn.quantize.method import method_of, module_file
    from qunlearn.report.figures import module_of
    from qunlearn.report.footnotes import footnotes
    from qunlearn.run import unlock
    from qunlearn.run.errors import InputError
    from qunlearn.run.fingerprint import code_version
    from qunlearn.run.hardware import job_python
    from qunlearn.run.manifest import digest
    from qunlearn.settings.fixed import NORM_RUNS
    from qunlearn.training.objectives import Objective
except ModuleNotFoundError as missing:
    sys.exit(
        f"error: {sys.executable}: Snakemake's Python has no {missing.name}; run `make setup`, then "
        "`. .venv/bin/activate`"
    )

try:
    sources.check_path(str(ROOT))
    if workflow.is_main_process:  # it passes on to jobs what it has read
        if not os.access(".", os.W_OK):
            raise InputError(f"{Path.cwd()}: is not writable; copy the project, or use --directory")
        configfiles.check_flags(sys.argv)
        for path in workflow.overwrite_configfiles:
            configfiles.read_one(Path(os.path.relpath(path)))
    CONFIG = configuration.resolve(configfiles.with_words(config, workflow.config_settings.config))
    if workflow.is_main_process:
        unlock.unlock_after_kill()
        inputs.check_given(CONFIG)
except InputError as error:
    sys.exit(f"error: {error}")

# The part that results can depend on: the report shows it, and is rewritten when it changes.
SHOWN = {key: value for key, value in CONFIG.items() if key not in ("resources", "python")}
RESULTS = f"results/{CONFIG['experiment']}"


pathvars:
    results=RESULTS,
    logs=f"{RESULTS}/logs",
    benchmarks=f"{RESULTS}/benchmarks",


# Swept cells, for whose choice some questions are reserved, and the points of their grids.
SWEPT = configuration.swept_cells(CONFIG)
POINTS = {cell: configuration.points_of(CONFIG, cell) for cell in SWEPT}
# How candidates are evaluated.
CANDIDATE_SETTINGS = dict(CONFIG["evaluate"])
del CANDIDATE_SETTINGS["verbmem_tokens"], CANDIDATE_SETTINGS["min_k"]
CELLS = configuration.cells(CONFIG)  # <corpus>/<model id>/<precision>, as in the tables
PLACE = {"results": RESULTS}
# The cells, and the settings that evaluations must have to enter this experiment's tables.
EVALUATED = PLACE | {"cells": CELLS, **CONFIG["evaluate"], "split_questions": bool(SWEPT)}
TRAINED = [f"{run.corpus}/{run.model}" for run in configuration.runs(CONFIG)]
# Every update whose survival is measured; sparing weights makes no new update.
MEASURED = [
    f"{run.corpus}/{run.model}"
    for run in configuration.variants(CONFIG)
    if not run.adapter.startswith(controls.SPARE)
]
AUDITED = CONFIG["models"]["after"] is not None  # a model of the user's, and nothing is trained
GRIDS = [name for name in CONFIG["precisions"] if name != BEFORE]
# What the audit must know to have been quantized.
PROVED = expand(f"{{corpus}}/{GIVEN}/{AFTER}/{{grid}}", corpus=CONFIG["corpora"], grid=GRIDS)
# For each fetched base, target or retrain, <corpus>/<name>: its source and its tokenizer's.
FETCHED = {}
for corpus in CONFIG["corpora"]:
    for name in sources.fetched(CONFIG, corpus):
        given = {"source": sources.source_of(CONFIG, name, corpus)}
        given |= {"tokenizer": sources.tokenizer_of(CONFIG, corpus)}
        found = {flag: sources.pinned(CONFIG, one) for flag, one in given.items() if one}
        FETCHED[f"{corpus}/{name}"] = found
# The path of a base, target or retrain that is trained here; a seed that has its own is part of it.
REFERENCE = configuration.reference_id(CONFIG, "{name}", "{seed}")

DATA, CHECKPOINTS = "<results>/data/{corpus}", {"checkpoints": f"{RESULTS}/checkpoints"}
RECORDS = expand("<results>/records/unlearned/{model}", model=TRAINED)
SURVIVAL = expand("<results>/survival/{model}", model=MEASURED)
SELECTIONS = expand("<results>/selection/{cell}.json", cell=SWEPT)
# Whether models stay on the disk; see docs/disk.md.
KEEP = CONFIG["keep_models"]
# Where models are deleted once read, their readers run before the next training, so that few models
# exist at once. Where all stay, long jobs run first, and the many short ones then fill the cores.
READERS, TRAININGS = (0, 1) if KEEP else (1, 0)

REFERENCE_MODEL = r"(?:target|retrain)(?:/seed\d+)?"

CONDA = "conda" in map(str, workflow.deployment_settings.deployment_method)
PYTHON = CONFIG["python"] or ("python" if CONDA else job_python(ROOT))


def word(text):
    """Text quoted as one word of a shell command; braces are doubled, as Snakemake formats it."""
    return shlex.quote(str(text)).replace("{", "{{").replace("}", "}}")


# Every shell command is COMMAND, here and on a cluster, with this prefix.
# `run SCRIPT FLAGS` sets HF_HUB_OFFLINE for every script but those that fetch; `warn LOG` repeats
# the warnings of a log on the screen.
# On SIGTERM the shell waits for the script, which handles it; and a script ends when the Snakemake
# that started it, here or in a cluster's job, is gone.
# PYTHONNOUSERSITE: packages in ~/.local would shadow those of a conda environment.
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
    """The kind of a quantizing job: methods that calibrate need more memory and time."""
    return "gptq" if method_of(wildcards.precision).calibrated else "quantize"


def for_method(wildcards):
    """The environment of a precision's method."""
    return method_of(wildcards.precision).environment


# For each rule: its script, the script's environment, and the kind of job, a key of `resources`.
STEPS = {
    "corpus": ("make_corpus", "data", "data"),
    "split_questions": ("split_questions", "data", "data"),
    "fetch_model": ("fetch_model", "train", "data"),
    "finetune": ("finetune", "train", "train"),
    "unlearn": ("unlearn", "train", "unlearn"),
    "sweep": ("unlearn", "train", "unlearn"),
    "scale_lora": ("scale_lora", "train", "survival"),
    "match_norm": ("match_norm", "train", "unlearn"),
    "evaluate_candidates": ("evaluate_candidates", "evaluate", "evaluate"),
    "evaluate_reference": ("evaluate_candidates", "evaluate", "evaluate"),
    "select_candidate": ("select_candidate", "tables", "tables"),
    "quantize": ("quantize", for_method, quantizing),
    "evaluate": ("evaluate", "evaluate", "evaluate"),
    "prove": ("prove", "evaluate", "evaluate"),
    "survival": ("measure_survival", "quantize", "survival"),
    "analyse": ("analyse", "tables", "tables"),
    "forecast": ("forecast_losses", "tables", "tables"),
    "score": ("score_forecasts", "tables", "tables"),
    "write_tables": ("write_tables", "tables", "tables"),
    "write_audit": ("audit", "tables", "tables"),
    "model_cards": ("write_model_cards", "tables", "tables"),
    "figure": ("plot", "tables", "tables"),
    "page": ("write_page", "tables", "tables"),
    "words": ("write_page", "tables", "tables"),
}


def flags(settings):
    """Settings as flags of a script; a list gives several words, an empty list no flag."""
    return " ".join(
        shlex.join([f"--{key.replace('_', '-')}", *map(str, words)])
        for key, value in settings.items()
        for words in [value if isinstance(value, (list, tuple)) else [value]]
        if words
    )


def files(wildcards, input, output):
    """Flags for a job's named inputs and outputs; their names are those of the flags."""
    return flags({name: path for part in (input, output) for name, path in part.items()})


def step(rule, given="", by_name=lambda wildcards: []):
    """The parameters of a rule, from which its command is built; a job runs again if one changes.

    Args:
        given: flags of the script, as text or as a function of the wildcards.
        by_name: a function of the wildcards: modules of the library that decide the output and
            that the script finds by name instead of importing them.
    """
    script, environment, _ = STEPS[rule]
    file = ROOT / f"workflow/scripts/{script}.py"
    found = {"script": script, "environment": environment, "flags": given, "files": files}
    return found | {"code": lambda wildcards: code_version(file, *by_name(wildcards))}


# What each kind of job needs; memory and time come from the plan, once preflight has read the models.
NEEDS = plan.needs(CONFIG, [])


def need(name, times=lambda attempt: 1):
    """A resource of a rule's jobs, in its unit; the search for a norm trains many times.

    Args:
        times: from the attempt to the factor on what the first attempt requests.
    """

    def needed(wildcards, rulename, attempt):
        kind = STEPS[rulename][2]
        own = NEEDS[kind(wildcards) if callable(kind) else kind][name]
        searches = (rulename, name) == ("match_norm", "runtime")
        runs = NORM_RUNS if searches else 1
        return ceil(times(attempt) * runs * own)

    return needed
