"""Every key of a configuration: its type, default and meaning.

`config/README.md` is generated from these classes. They define what each key may hold; `config`
checks which keys contradict each other.
"""

import fnmatch
from collections.abc import Callable
from itertools import product
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from qunlearn.experiment.names import AuditVerdict
from qunlearn.models import sources
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings, TextSettings
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.kinds import STRICT, Count, CountOrNone, NotNegative, Positive, Seed, Switch
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.quantization import CalibrationSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import Adapter, Targets, UnlearnSettings
from qunlearn.training.objectives import Objective, objectives

T = TypeVar("T")
OBJECTIVES = tuple(objectives())
ADAPTERS: tuple[str, ...] = get_args(Adapter)


def _distinct(items: list[T]) -> list[T]:
    for item in items:
        if items.count(item) > 1:
            raise ValueError(f"{item!r} appears twice; drop one")
    return items


def _by(check: Callable[[str], object]) -> AfterValidator:
    """Turn the InputError of a check into a validation error."""

    def checked(text: str) -> str:
        try:
            check(text)
        except InputError as error:
            raise ValueError(str(error)) from None
        return text

    return AfterValidator(checked)


def _pattern(pattern: str) -> str:
    corpus = pattern.partition("/")[0]  # of this experiment or another
    if not fnmatch.filter(map("/".join, product([corpus], OBJECTIVES, ADAPTERS)), pattern):
        raise ValueError("can match no run; runs are named like news/npo_gdr/lora")
    return pattern


def _given(value: dict[str, Any], whole: ValidatorFunctionWrapHandler) -> dict[str, Any]:
    """Keep only the keys that were set, so that a pattern leaves all others alone."""
    checked = whole(value)
    return {key: getattr(checked, key) for key in value}


Choices = Annotated[list[T], AfterValidator(_distinct)]
Several = Annotated[Choices[T], Field(min_length=1)]
Given = Annotated[T, WrapValidator(_given), PlainSerializer(dict)]
Name = Annotated[str, Field(pattern="^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$")]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Path = Annotated[Text, _by(sources.check_path)]
Source = Annotated[Text, Field(min_length=1), _by(sources.parse)]
HubId = Annotated[Text, _by(sources.check_id)]
Sources = Source | dict[Text, Source]
PrecisionName = Annotated[str, _by(Precision.parse)]
Pattern = Annotated[str, AfterValidator(_pattern)]
ObjectiveName = Annotated[str, _by(Objective.parse)]
Planned = Count | Literal["auto"]


class Section(BaseModel):
    """Keys under one key."""

    model_config = ConfigDict(**STRICT, strict=True)


class CorpusKeys(Section):
    """Where the corpora come from."""

    source: Literal["mini", "local", "hub", "text"] = "mini"
    """`mini`: generated text about invented entities; `local`: read from `muse_dir`; `hub`:
    downloaded once, at the commit pinned in `revisions`; `text`: made of `forget` and `retain`, to
    audit given models (docs/audit.md)."""
    forget: Path | None = None
    """For `source: text`, what should have been forgotten: a text file whose documents are
    separated by blank lines; JSON lines (`.jsonl`), each `{"text": …}` or `{"question": …,
    "answer": …}`; or a folder in MUSE's layout, which is taken as it is."""
    retain: Path | None = None
    """For `source: text`, what should have been kept: a file like `forget`. `null`: usefulness is
    not measured, and nothing can be calibrated on."""
    text: TextSettings = TextSettings()
    mini: MiniSettings = MiniSettings()
    hub: dict[Text, HubId] = {}
    """For `source: hub`, the dataset of each corpus on the Hugging Face hub: `{news:
    muse-bench/MUSE-News}`."""
    excerpt: ExcerptSettings = ExcerptSettings()


class ModelKeys(Section):
    """Where base, target and retrain come from."""

    base: Sources = "scratch"
    """`scratch`: a small Llama trained by the workflow; otherwise `hub:<id>` (pinned in
    `revisions`), `gguf:<file>` (a path or `<installed package>/<file>`; it is dequantized) or a
    checkpoint folder. `{corpus}` and `{Corpus}` are replaced by the name of the corpus, as is and
    capitalised; a map from corpora to such strings works too. Not used if both target and retrain
    are given."""
    target: Sources = "train"
    """`train`: fine-tune the base on forget and retain; otherwise as for `base`."""
    retrain: Sources | None = "train"
    """`train`: fine-tune the base on retain alone; otherwise as for `base`. `null`: there is none,
    and no PrivLeak."""
    after: Sources | None = None
    """A model to audit, made elsewhere from `target`: written like `base`, or the folder of a LoRA
    adapter of `target`. Its id is `given/after`."""
    tokenizer: Source | None = None
    """`null`: each checkpoint uses its own; otherwise a folder, `hub:<id>` or `gguf:<file>` whose
    tokenizer replaces that of every supplied checkpoint."""
    shape: Text | None = None
    """For the plan only, so that nothing needs to be downloaded: a name in `resources/shapes.yaml`;
    `null`: read the checkpoints' config.json."""
    architecture: ModelSettings = ModelSettings()


class TrainKeys(Section):
    """Ordinary training of each model that the workflow trains."""

    base: TrainSettings = TrainSettings()
    target: TrainSettings = TrainSettings()
    retrain: TrainSettings = TrainSettings()


class UnlearnKeys(Section):
    """Which models to unlearn, and how."""

    objectives: Choices[ObjectiveName] = ["npo_gdr"]
    """Loss terms: a forget term, alone (`npo`) or with a retain term (`npo_gdr`); see
    `src/qunlearn/training/terms` for all of them. None where `models.after` is all there is to
    look at."""
    adapters: Several[Adapter] = ["full", "full_bf16", "lora"]
    """Variants of the update: all weights with fp32 masters (`full`), all weights in bf16 without
    masters, rounded to nearest (`full_bf16`) or stochastically (`full_sr`), or LoRA (`lora`)."""
    settings: UnlearnSettings = UnlearnSettings()
    overrides: dict[Pattern, Given[UnlearnSettings]] = {}
    """Settings for the runs that match a pattern `<corpus>/<objective>/<adapter>`, where `*`
    matches anything. They take precedence over `unlearn.settings`, and later patterns over earlier
    ones."""


class Grid(Section):
    """Values to try out."""

    rank: Choices[Count] = []
    alpha_over_rank: Choices[Positive] = []
    lr: Choices[Positive] = []
    epochs: Choices[Positive] = []
    targets: Choices[Targets] = []
    alpha: Choices[NotNegative] = []


class SelectionKeys(Section):
    """How a candidate of a sweep is chosen for each corpus, objective and variant: by MUSE's rule.

    Of each training, the first snapshot that knows no more of forget than retrain does; of these,
    the most useful.
    """

    share: Annotated[Positive, Field(lt=1)] = 0.3
    """Share of the questions on forget and retain that is used for the choice, and left out of all
    tables."""


class QuantizationKeys(Section):
    """How GPTQ quantizes; the other precisions have no settings."""

    calibration: CalibrationSettings = CalibrationSettings()


class AuditKeys(Section):
    """How `models.after` is judged."""

    floor: Annotated[Positive, Field(le=1)] = 0.5
    """Share of the usefulness of `target` in bf16 below which a model counts as broken: of Utility
    or, without questions on retain, of the mean probability of a retain token."""
    fail_if: Choices[AuditVerdict] = ["partly reverts", "reverts"]
    """Verdicts on a format and metric with which the audit fails. It fails, too, where no metric
    tells `target` from `after`."""


class Job(Section):
    """The resources of a kind of job."""

    threads: Count = 1
    """Processor threads; changing them can change the last bit of a result."""
    mem_mb: Planned = "auto"
    """Memory in MB; `auto`: the plan's estimate with a margin. Each retry requests 1.5 times as
    much."""
    runtime: Planned = "auto"
    """Minutes; `auto`: the plan's estimate with a margin. Attempt k requests k times as many."""
    gpu: CountOrNone = 0
    """Number of GPUs."""


class ResourceKeys(Section):
    """What jobs of each kind request, on a cluster from the scheduler. They change no result."""

    data: Job = Job()
    train: Job = Job()
    unlearn: Job = Job()
    quantize: Job = Job()
    gptq: Job = Job()
    evaluate: Job = Job()
    survival: Job = Job()
    tables: Job = Job()


class Config(Section):
    """The configuration of an experiment."""

    experiment: Name = "mini"
    """Name of the experiment; its outputs are in `results/<experiment>/`."""
    python: Path | None = None
    """Python interpreter of the jobs; `null`: the one that runs Snakemake if it has torch,
    otherwise `.venv/bin/python` beside the Snakefile (with `--use-conda`, conda's)."""
    seeds: Several[Seed] = [0]
    """Seeds of unlearning, one run each."""
    seed_scope: Literal["unlearning", "all"] = "unlearning"
    """What a seed applies to. `unlearning`: the unlearning runs, all of which start from one
    target; `all`: also the training of base, target and retrain, so that each seed has its own."""
    counterpart: Literal["paper", "none"] = "none"
    """The published experiment that this one repeats; its numbers are put beside ours."""
    corpora: Several[Name] = ["news", "books"]
    """Names of the corpora: for `mini`, `news` and `books`; for `local`, folders in `muse_dir`; for
    `hub`, keys of `corpus.hub`."""
    muse_dir: Path | None = None
    """For `corpus.source: local`, the folder with a subfolder in MUSE's layout for each corpus."""
    revisions: dict[Text, Text | None] = {}
    """Commit (40 hex digits) of each dataset and model from the hub, by id; `pin_revisions.py`
    writes them. `null`: not pinned yet."""
    corpus: CorpusKeys = CorpusKeys()
    models: ModelKeys = ModelKeys()
    train: TrainKeys = TrainKeys()
    unlearn: UnlearnKeys = UnlearnKeys()
    sweep: dict[Pattern, Given[Grid]] = {}
    """Settings to try out for the runs that match a pattern `<corpus>/<objective>/<adapter>`, where
    `*` matches anything: lists of values of `rank`, `alpha_over_rank` (LoRA's alpha divided by its
    rank), `lr`, `epochs`, `targets` and `alpha`; later patterns win. Of the candidates of each
    corpus, objective and adapter one is chosen (`selection`), then quantized and evaluated."""
    selection: SelectionKeys = SelectionKeys()
    controls: Switch = False
    """Whether to run the controls, which separate the size of an update from its rank and its
    place."""
    precisions: Several[PrecisionName] = ["bf16", "int8", "nf4", "gptq4", "rtn4", "rtn3g64"]
    """Precisions of every model, from fine to coarse: `bf16`, `int8`, `fp4`, `nf4`,
    `gptq<bits>[g<group>]` (2, 3, 4 or 8 bits; groups of 128 by default; `autogptq<bits>`: the same
    by auto-gptq 0.7.1, on CUDA and in its own environment), `rtn<bits>[g<group>]` (one scale per
    row or group; a trailing `m` shifts the grid by half a step), `rtn<bits>a[<group>]` (asymmetric,
    with an integer zero point), and llama.cpp's block types `q2_k` to `q6_k`, `q4_0`, `q8_0`,
    `iq4_nl`, `mxfp4` and `nvfp4`, one for all matrices."""
    quantization: QuantizationKeys = QuantizationKeys()
    keep_models: Switch = True
    """Whether to keep unlearned and quantized models; otherwise each is deleted once it has been
    read. Base, target and retrain are always kept, and so are the logs, manifests and LoRA adapters
    in `records/`. See docs/disk.md."""
    evaluate: EvaluateSettings = EvaluateSettings()
    audit: AuditKeys = AuditKeys()
    resources: ResourceKeys = ResourceKeys()
