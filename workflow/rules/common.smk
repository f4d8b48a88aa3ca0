# The configuration, the paths of an experiment, and what the rules ask of them.
import json
import shlex
import sys
from pathlib import Path

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from qunlearn import config as configuration
from qunlearn import controls, style
from qunlearn.checkpoints import check_checkpoint
from qunlearn.codeversion import code_version
from qunlearn.corpora import local
from qunlearn.errors import InputError
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


TABLES = expand(
    out("tables/{name}"),
    name=[
        "metrics.csv",
        *("main.csv", "main.md", "main.tex", "main.html"),
        *("mechanism.csv", "mechanism.md", "reversion.md"),
        *("summary.csv", "tests.csv", "vs_paper.csv"),
        *("claims.csv", "claims_published.csv", "claims.md"),
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
shell.prefix(
    "set -euo pipefail; "
    f"export PYTHONPATH={shlex.quote(str(ROOT / 'src'))} OMP_WAIT_POLICY=passive "
    "HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false "
    f"CLAIMS={shlex.quote(str(ROOT / 'resources/claims.yaml'))} "
    f"PUBLISHED={shlex.quote(str(ROOT / 'resources/published'))}; "
    f"run() ( {shlex.quote(PYTHON)} {shlex.quote(str(ROOT / 'workflow/scripts'))}/\"$@\" ); "
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


def own(name):
    """Base, target or retrain, with a folder a seed where each seed trains its own."""
    return configuration.reference_id(CONFIG, name, "{seed}")


def checkpoint_of(name):
    """Where base, target or retrain is: trained by the workflow, or a folder of the user's."""
    given = CONFIG["models"][name]
    if given in ("scratch", "train"):
        return out(f"models/{{corpus}}/{own(name)}")
    return given


def adapter_of(model):
    """The variant in a model id; `none` of target and retrain."""
    objective, *rest = model.split("/")
    return "none" if objective in ("target", "retrain") else rest[0]


def seed_of(model):
    """The seed in a model id; none of a target or retrain that serves all seeds."""
    last = model.split("/")[-1]
    return last.removeprefix("seed") if last.startswith("seed") else ""


def reference_id(name, model):
    """The id of the target or retrain that a model is compared with: its seed's, or everyone's."""
    return configuration.reference_id(CONFIG, name, seed_of(model))


def model_of(wildcards):
    """The folder that a model id stands for."""
    name = wildcards.model.split("/")[0]
    if name in ("target", "retrain"):
        seed = seed_of(wildcards.model)
        return checkpoint_of(name).format(corpus=wildcards.corpus, seed=seed)
    return out(f"unlearned/{wildcards.corpus}/{wildcards.model}")


def target_of(wildcards):
    """The checkpoint that an unlearned model started from."""
    seed = seed_of(wildcards.model)
    return checkpoint_of("target").format(corpus=wildcards.corpus, seed=seed)


def merged_into(wildcards):
    """The target under an adapter; every other model stands by itself."""
    if not adapter_of(wildcards.model).startswith("lora"):
        return []
    return target_of(wildcards)


def as_base(wildcards, input):
    """The flag that names the checkpoint under an adapter."""
    return f"--base {shlex.quote(str(input.base))}" if input.base else ""


def kept(output):
    """What the configuration says whether to keep once it was evaluated."""
    return output if CONFIG["keep_quantized"] else temp(output)


def retrain_scores(wildcards):
    """The reference of PrivLeak; retrain itself, in the reference's precision, is its own."""
    retrain = reference_id("retrain", wildcards.model)
    if (wildcards.model, wildcards.precision) == (retrain, REFERENCE_PRECISION):
        return []
    return out(
        f"eval/{wildcards.corpus}/{retrain}/{REFERENCE_PRECISION}/privleak.jsonl"
    )


def measured_precisions(wildcards):
    """The precisions that a model is evaluated in, whose grids its update is laid on."""
    return controls.precisions(CONFIG, adapter_of(wildcards.model))


def packed_checkpoints(wildcards):
    """Of target and model in GPTQ: its grid depends on the calibration, not on the weights alone."""
    return [
        out(f"quantized/{wildcards.corpus}/{model}/{precision}")
        for precision in measured_precisions(wildcards)
        if precision.startswith("gptq")
        for model in (reference_id("target", wildcards.model), wildcards.model)
    ]


def trained_models():
    """Every unlearning run."""
    return [f"{run.corpus}/{run.model}" for run in configuration.runs(CONFIG)]


def measured_models():
    """Every update that is laid on the grids; sparing is no update of its own."""
    return [
        f"{run.corpus}/{run.model}"
        for run in configuration.variants(CONFIG)
        if not run.adapter.startswith(controls.SPARE)
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
