# The configuration, the paths of an experiment, and what the rules ask of them.
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from qunlearn import config as configuration
from qunlearn.checkpoints import check_checkpoint
from qunlearn.codeversion import code_version
from qunlearn.corpora import local
from qunlearn.errors import InputError

try:
    CONFIG = configuration.resolve(
        config, configuration.load_schema(ROOT / "workflow/schemas/config.schema.yaml")
    )
except InputError as error:
    sys.exit(f"error: {error}")


def out(path):
    """A path inside the experiment's results."""
    return f"results/{CONFIG['experiment']}/{path}"


TABLES = expand(
    out("tables/{name}"),
    name=["metrics.csv", "main.csv", "main.md", "main.tex", "main.html"],
)
FIGURES = expand(out("figures/survival_of_forgetting.{form}"), form=["png", "pdf"])
REFERENCE_PRECISION = "bf16"  # PrivLeak compares with retrain in this precision

CONDA = "conda" in {
    str(method) for method in workflow.deployment_settings.deployment_method
}
PYTHON = CONFIG["python"] or ("python" if CONDA else sys.executable)
# Every shell command is `run SCRIPT FLAGS`; a GPU's or a cluster's shell gets the same surroundings.
shell.prefix(
    "set -euo pipefail; "
    f"export PYTHONPATH={shlex.quote(str(ROOT / 'src'))} OMP_WAIT_POLICY=passive "
    "HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false; "
    f"run() ( {shlex.quote(PYTHON)} {shlex.quote(str(ROOT / 'workflow/scripts'))}/\"$@\" ); "
)


wildcard_constraints:
    corpus="|".join(CONFIG["corpora"]),
    objective="|".join(CONFIG["unlearn"]["objectives"]),
    adapter="|".join(CONFIG["unlearn"]["adapters"]),
    seed=r"\d+",
    model=r"target|retrain|[a-z_]+/[a-z0-9_]+/seed\d+",
    precision=r"[a-z0-9]+",


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


def checkpoint_of(name):
    """Where base, target or retrain is: trained by the workflow, or a folder of the user's."""
    given = CONFIG["models"][name]
    if given in ("scratch", "train"):
        return out("models/{corpus}/") + name
    return given


def model_of(wildcards):
    """The folder that a model id stands for."""
    if wildcards.model in ("target", "retrain"):
        return checkpoint_of(wildcards.model).format(corpus=wildcards.corpus)
    return out(f"unlearned/{wildcards.corpus}/{wildcards.model}")


def merged_into(wildcards):
    """The target under an adapter; every other model stands by itself."""
    if "/lora/" not in wildcards.model:
        return []
    return checkpoint_of("target").format(corpus=wildcards.corpus)


def retrain_scores(wildcards):
    """The reference of PrivLeak; retrain itself, in the reference's precision, is its own."""
    if (wildcards.model, wildcards.precision) == ("retrain", REFERENCE_PRECISION):
        return []
    return out(f"eval/{wildcards.corpus}/retrain/{REFERENCE_PRECISION}/privleak.jsonl")


def cells():
    """Every corpus/model/precision of the tables."""
    return [
        f"{corpus}/{model}/{precision}"
        for corpus in CONFIG["corpora"]
        for model in configuration.models(CONFIG, corpus)
        for precision in CONFIG["precisions"]
    ]


def check_what_is_given():
    """Look at the folders that the user gives before any work is done."""
    for corpus in CONFIG["corpora"]:
        if CONFIG["corpus"]["source"] == "local":
            local.verify(Path(CONFIG["muse_dir"]) / corpus)
        for name in ("base", "target", "retrain"):
            if CONFIG["models"][name] not in ("scratch", "train"):
                check_checkpoint(Path(checkpoint_of(name).format(corpus=corpus)))


if workflow.is_main_process:
    try:
        check_what_is_given()
    except InputError as error:
        sys.exit(f"error: {error}")
