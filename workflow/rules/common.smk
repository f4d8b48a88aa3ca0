# The configuration, the paths of an experiment, and what the rules ask of them.
import json
import os
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from qunlearn import config as configuration
from qunlearn import controls, grids, preflight, revisions, sources, style, sweep
from qunlearn.checkpoints import check_checkpoint
from qunlearn.codeversion import code_version
from qunlearn.corpora import local
from qunlearn.errors import InputError
from qunlearn.footnotes import footnotes
from qunlearn.provenance import digest

try:
    CONFIG = configuration.resolve(
        config, configuration.load_schema(ROOT / "workflow/schemas/config.schema.yaml")
    )
except InputError as error:
    sys.exit(f"error: {error}")


def out(path):
    """A path inside the experiment's results."""
    return f"results/{CONFIG['experiment']}/{path}"


# Swept cells, their trainings, and whether their choice has questions of its own.
SWEPT = sweep.swept_cells(CONFIG)
POINTS = {cell: sweep.points_of(CONFIG, *cell.split("/")) for cell in SWEPT}
SPLIT_QUESTIONS = sweep.splits_questions(CONFIG)
# What of the evaluation's settings decides how candidates are asked.
ASKING = {
    key: value
    for key, value in CONFIG["evaluate"].items()
    if key not in ("verbmem_tokens", "min_k")
}

TABLES = expand(
    out("tables/{name}"),
    name=[
        "metrics.csv",
        *("main.csv", "main.md", "main.tex", "main.html"),
        *("mechanism.csv", "mechanism.md", "reversion.md"),
        *("summary.csv", "tests.csv", "vs_paper.csv"),
        *("claims.csv", "claims_published.csv", "claims.md"),
        *(["candidates.csv", "candidates.md"] if SWEPT else []),
    ],
)
REFERENCE_PRECISION = "bf16"  # of PrivLeak and reversion
GRIDS = [name for name in CONFIG["precisions"] if name != REFERENCE_PRECISION]
FIGURES = expand(
    out("figures/{name}.{form}"),
    name=[
        *("survival_of_forgetting", "reversion", "pareto", "loss_curves"),
        *(["slope"] if GRIDS else []),
        *expand(
            "{figure}_{corpus}_{objective}",
            figure=["update_survival", "update_over_step"] if GRIDS else [],
            corpus=CONFIG["corpora"],
            objective=CONFIG["unlearn"]["objectives"],
        ),
        *(["controls"] if CONFIG["controls"] else []),
        *(["candidates"] if SWEPT else []),
    ],
    form=["png", "pdf"],
)
# Tables that are pages of the report too; the main table is one of itself.
PAGES = [
    Path(name).stem
    for name in TABLES
    if name.endswith(".md") and name != out("tables/main.md")
]
STORY = out("report/story.rst")
REPORT = [
    STORY,
    *expand(out("report/{name}.html"), name=["configuration", "versions", *PAGES]),
]
CARDS = (
    expand(out("cards/{cell}.md"), cell=configuration.cells(CONFIG))
    if CONFIG["keep_quantized"]
    else []  # a card without its model is of no use
)

# auto-gptq loads with packages that are years older than everything else here.
GPTQ_ENVIRONMENT = {
    "gptqmodel": "../../envs/gptq.yaml",
    "auto-gptq": "../../envs/autogptq.yaml",
}[CONFIG["quantization"]["gptq_backend"]]

CONDA = "conda" in {
    str(method) for method in workflow.deployment_settings.deployment_method
}
PYTHON = CONFIG["python"] or ("python" if CONDA else sys.executable)
# Every shell command is `run SCRIPT FLAGS`; a GPU's or a cluster's shell gets the same surroundings.
# `fetch SCRIPT FLAGS` may use the network as well, unless the user himself has set HF_HUB_OFFLINE.
shell.prefix(
    "set -euo pipefail; "
    f"export PYTHONPATH={shlex.quote(str(ROOT / 'src'))} OMP_WAIT_POLICY=passive "
    'USERS_OFFLINE="${{HF_HUB_OFFLINE:-}}" HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false '
    f"CLAIMS={shlex.quote(str(ROOT / 'resources/claims.yaml'))} "
    f"PUBLISHED={shlex.quote(str(ROOT / 'resources/published'))}; "
    f"run() ( {shlex.quote(PYTHON)} {shlex.quote(str(ROOT / 'workflow/scripts'))}/\"$@\" ); "
    'fetch() ( export HF_HUB_OFFLINE="$USERS_OFFLINE"; run "$@" ); '
)


REFERENCE_MODEL = r"(?:target|retrain)(?:/seed\d+)?"
# Of a model of which weights are spared there is no whole that could be quantized.
WHOLE_MODEL = rf"{REFERENCE_MODEL}|[a-z_]+/(?!spare_)[a-z0-9_.]+/seed\d+"


wildcard_constraints:
    corpus="|".join(CONFIG["corpora"]),
    objective="|".join(CONFIG["unlearn"]["objectives"]),
    adapter="|".join(CONFIG["unlearn"]["adapters"]),
    seed=r"\d+",
    model=rf"{REFERENCE_MODEL}|[a-z_]+/[a-z0-9_.]+/seed\d+",
    precision=r"[a-z0-9]+",
    factor=r"[0-9.]+",
    point=r"[A-Za-z0-9.-]+",
    choice="|".join(controls.CHOICES),


def resource(name):
    """The content of a file or folder of resources/: a parameter, so that a change is seen."""
    return digest(ROOT / "resources" / name)[:12]


def code(name):
    """What of a script's code decides its output: a parameter, so that a change runs it again."""
    return code_version(ROOT / "workflow/scripts" / name)


def flags(settings):
    """Settings as the flags of a script."""
    return " ".join(
        f"--{key.replace('_', '-')} {shlex.quote(str(value))}"
        for key, value in settings.items()
    )


def asks(kind, resource):
    """What the configuration says that a kind of job asks for."""
    return CONFIG["resources"][kind][resource]
