"""Every key of a configuration: its kind, its default and what it means.

`config/README.md` is made from these classes. What a key may hold is said here; which keys
contradict each other, `config` says.
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

from qunlearn.models import sources
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings
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
    """What another room refuses, refused here."""

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
    """Only what is given: what a pattern does not set is not its to set."""
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

    source: Literal["mini", "local", "hub"] = "mini"
    """`mini`: generated, seeded, about invented entities; `local`: read from `muse_dir`; `hub`:
    downloaded once, at the commit that `revisions` pins."""
    mini: MiniSettings = MiniSettings()
    hub: dict[Text, HubId] = {}
    """Dataset on the Hugging Face hub of each corpus (`source` `hub`), by its name: `{news:
    muse-bench/MUSE-News}`."""
    excerpt: ExcerptSettings = ExcerptSettings()


class ModelKeys(Section):
    """Where base, target and retrain come from."""

    base: Sources = "scratch"
    """`scratch`: a small Llama trained by the workflow; else `hub:<id>` (pinned in `revisions`),
    `gguf:<file>` (dequantized; a path, or `<installed package>/<file>`) or a checkpoint folder.
    `{corpus}` and `{Corpus}` stand for the corpus, as it is and capitalised; a map from corpora to
    such strings does as well. Not needed where target and retrain are given."""
    target: Sources = "train"
    """`train`: fine-tune the base on forget and retain; else as `base`."""
    retrain: Sources = "train"
    """`train`: fine-tune the base on retain alone; else as `base`."""
    tokenizer: Source | None = None
    """`null`: each checkpoint has its own; else a folder, `hub:<id>` or `gguf:<file>` whose
    tokenizer takes the place of that of every given checkpoint."""
    shape: Text | None = None
    """Only for the plan, while checkpoints are still on the hub; a name of `resources/shapes.yaml`,
    `null` reads their config.json."""
    architecture: ModelSettings = ModelSettings()


class TrainKeys(Section):
    """Ordinary training of each model that the workflow trains."""

    base: TrainSettings = TrainSettings()
    target: TrainSettings = TrainSettings()
    retrain: TrainSettings = TrainSettings()


class UnlearnKeys(Section):
    """Which updates to make, and how."""

    objectives: Several[ObjectiveName] = ["npo_gdr"]
    """Terms of the loss: a forget term, alone (`npo`) or with a retain term (`npo_gdr`);
    `src/qunlearn/training/terms` has them all."""
    adapters: Several[Adapter] = ["full", "full_bf16", "lora"]
    """Variant of the update; all weights with fp32 masters (`full`), all weights in bf16 without
    masters, rounded to nearest (`full_bf16`) or stochastically (`full_sr`), or LoRA (`lora`)."""
    settings: UnlearnSettings = UnlearnSettings()
    overrides: dict[Pattern, Given[UnlearnSettings]] = {}
    """Settings of some runs, by a pattern `<corpus>/<objective>/<adapter>` in which `*` stands for
    anything; they win over `unlearn.settings`, and later patterns over earlier ones."""


class Grid(Section):
    """Values to try out."""

    rank: Choices[Count] = []
    alpha_over_rank: Choices[Positive] = []
    lr: Choices[Positive] = []
    epochs: Choices[Positive] = []
    targets: Choices[Targets] = []
    alpha: Choices[NotNegative] = []


class SelectionKeys(Section):
    """How a candidate of a sweep is chosen for each corpus, objective and variant."""

    rule: Literal["muse", "pareto", "fixed"] = "muse"
    """`muse`: of each training the first snapshot that knows no more of forget than retrain does,
    of these the most useful; `pareto`: of those that no other beats in forgetting and Utility both,
    the nearest to full forgetting at target's Utility; `fixed`: as named."""
    fixed: dict[Pattern, Text] = {}
    """Candidates by a pattern `<corpus>/<objective>/<adapter>` (`rule` `fixed`), such as
    `r64-a128-lr7e-4/epoch5`; later patterns win."""
    questions: Literal["split", "test"] = "split"
    """Which questions on forget and retain the choice is made on: `split`: a share that is left out
    of all tables; `test`: all of them, which the tables then report too, with a warning."""
    share: Annotated[Positive, Field(lt=1)] = 0.3
    """Share of the questions that the choice is made on (`questions` `split`)."""
    seed: Seed = 0
    """Decides which questions these are."""


class ControlKeys(Section):
    """How the controls are made (`controls`)."""

    lambdas: Several[Annotated[float, Field(strict=True, ge=1e-4, lt=1e6)]] = [0.5, 0.75, 1.5]
    """Factors that the trained LoRA update is multiplied by (`lora_scaled<factor>`)."""
    tolerance: Annotated[Positive, Field(le=0.5)] = 0.05
    """How near `full_matched`'s norm must come to LoRA's, as a share of it."""
    search_runs: Count = 12
    """Trainings that the search for `full_matched`'s learning rate may take."""
    precisions: Choices[PrecisionName] = ["rtn3g64m"]
    """Precisions that target, `full`, `full_bf16` and `lora` are evaluated in besides;
    `rtn<bits>[g<group>]m` is a grid that is moved by half a step."""


class QuantizationKeys(Section):
    """How GPTQ quantizes; the other precisions have nothing to set."""

    calibration: CalibrationSettings = CalibrationSettings()


class Job(Section):
    """What a job of a kind asks for."""

    threads: Count = 1
    """Processor threads; part of the result to the last bit."""
    mem_mb: Planned = "auto"
    """Memory in MB; `auto`: the plan's, with a margin. Each further attempt asks for half as much
    again."""
    runtime: Planned = "auto"
    """Minutes; `auto`: the plan's, with a margin. Attempt k asks for k times as many."""
    gpu: CountOrNone = 0
    """GPUs."""


class ResourceKeys(Section):
    """What a job of each kind asks for; on a cluster, of the scheduler. They change no result."""

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
    """Interpreter of the jobs; `null` is the one that runs Snakemake where it has torch, else
    `.venv/bin/python` beside the Snakefile (with `--use-conda`, conda's)."""
    seeds: Several[Seed] = [0]
    """Seeds of unlearning; each is a run of its own."""
    seed_scope: Literal["unlearning", "all"] = "unlearning"
    """What a seed decides: `unlearning`: the unlearning runs, all from one target; `all`: training
    base, target and retrain as well, so that each seed has its own."""
    counterpart: Literal["paper", "none"] = "none"
    """Whose experiment this repeats, so that the numbers can be set side by side: `paper` or
    `none`."""
    corpora: Several[Name] = ["news", "books"]
    """Names of the corpora; `mini` knows `news` and `books`, `local` takes folders of these names
    in `muse_dir`, `hub` the datasets that `corpus.hub` gives them."""
    muse_dir: Path | None = None
    """Folder that holds a folder in MUSE's layout for each corpus (`corpus.source` `local`)."""
    revisions: dict[Text, Text | None] = {}
    """Commit (40 hexadecimal digits) of each dataset and model of the hub that is used, by its id;
    `pin_revisions.py` writes it. `null` is not pinned yet."""
    corpus: CorpusKeys = CorpusKeys()
    models: ModelKeys = ModelKeys()
    train: TrainKeys = TrainKeys()
    unlearn: UnlearnKeys = UnlearnKeys()
    sweep: dict[Pattern, Given[Grid]] = {}
    """Settings to try out, by a pattern `<corpus>/<objective>/<adapter>` in which `*` stands for
    anything: each has lists of values of `rank`, `alpha_over_rank` (LoRA's alpha over its rank),
    `lr`, `epochs`, `targets`, `alpha`; later patterns win. One of the candidates is chosen a cell
    (`selection`) and is quantized and evaluated; what nothing is tried out for is trained with its
    settings."""
    selection: SelectionKeys = SelectionKeys()
    controls: Switch = False
    """Whether to make the controls too, which tell the size of an update from its rank and from its
    place."""
    control_settings: ControlKeys = ControlKeys()
    precisions: Several[PrecisionName] = ["bf16", "int8", "nf4", "gptq4", "rtn4", "rtn3g64"]
    """Precisions of every model, from fine to coarse: `bf16`, `int8`, `fp4`, `nf4`,
    `gptq<bits>[g<group>]` (2, 3, 4 or 8 bits; groups of 128 by default; `autogptq<bits>` is the
    same by auto-gptq 0.7.1, on CUDA and in an environment of its own), `rtn<bits>[g<group>]` (a
    scale a row, or a group; with `m` at the end the grid is moved by half a step) and
    `rtn<bits>a[<group>]` (asymmetric, with an integer zero point)."""
    quantization: QuantizationKeys = QuantizationKeys()
    keep_models: Switch = True
    """Whether unlearned and quantized models stay on the disk; else each goes once it was read.
    Base, target and retrain stay in any case, and so do the logs, manifests and LoRA adapters in
    `records/`. See docs/disk.md."""
    evaluate: EvaluateSettings = EvaluateSettings()
    resources: ResourceKeys = ResourceKeys()
