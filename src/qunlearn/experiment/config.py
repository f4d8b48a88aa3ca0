"""The configuration: read strictly, filled with defaults, refused in one line."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qunlearn.experiment import controls
from qunlearn.experiment import sweep_grids as grids
from qunlearn.experiment.keys import ADAPTERS, OBJECTIVES, Config
from qunlearn.models import sources
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError, short

Json = dict[str, Any]

REPLACED = {
    "keep": "write `keep_models: true` for all, else `keep_models: false`",
    "quantization.gptq_backend": "name autogptq4 among the precisions",
}
"""Keys of earlier versions -> what to write instead."""


def resolve(config: Mapping[str, Any]) -> Json:
    """A full configuration: `config` checked, and every absent key at its default.

    Overrides (`unlearn.overrides`) and grids (`sweep`) are left partial: what they do not set is
    not theirs to set.

    Raises:
        InputError: a key is unknown, a value is of the wrong kind or out of its range, a pattern
            can match no run, or keys contradict each other.
    """
    try:
        full = Config.model_validate(dict(config)).model_dump()
    except ValidationError as error:
        raise InputError(_explain(error.errors(include_url=False), config)) from None
    _check_meaning(full)
    return full


@dataclass(frozen=True)
class Run:
    """One unlearning run."""

    corpus: str
    objective: str
    adapter: str
    seed: int

    @property
    def model(self) -> str:
        """The id of the model that it makes."""
        return f"{self.objective}/{self.adapter}/seed{self.seed}"


def runs(config: Json) -> list[Run]:
    """Every unlearning run of a full configuration."""
    unlearn = config["unlearn"]
    return [
        Run(corpus, objective, adapter, seed)
        for corpus in config["corpora"]
        for objective in unlearn["objectives"]
        for adapter in unlearn["adapters"]
        for seed in config["seeds"]
    ]


def unlearn_settings(config: Json, corpus: str, objective: str, adapter: str) -> Json:
    """The settings of one run: the shared ones under those of each pattern that matches it."""
    settings: Json = dict(config["unlearn"]["settings"])
    for pattern, override in config["unlearn"]["overrides"].items():
        if fnmatchcase(f"{corpus}/{objective}/{adapter}", pattern):
            settings |= override
    return settings


def variants(config: Json) -> list[Run]:
    """Every unlearned model: the runs, and the controls that are made from them."""
    unlearn = config["unlearn"]
    return [
        Run(corpus, objective, adapter, seed)
        for corpus in config["corpora"]
        for objective in unlearn["objectives"]
        for adapter in [*unlearn["adapters"], *controls.variants(config)]
        for seed in config["seeds"]
    ]


def references(config: Json) -> list[str]:
    """Ids of target and retrain: one of each, or one for each seed (`seed_scope: all`)."""
    ids = [reference_id(config, name, k) for name in ("target", "retrain") for k in config["seeds"]]
    return list(dict.fromkeys(ids))


def reference_id(config: Json, name: str, seed: int | str) -> str:
    """The id of base, target or retrain that a run with this seed starts from or compares with."""
    return f"{name}/seed{seed}" if config["seed_scope"] == "all" else name


def cells(config: Json) -> list[str]:
    """Every `<corpus>/<model id>/<precision>` of the tables, in their order."""
    models = [
        (corpus, model, "none") for corpus in config["corpora"] for model in references(config)
    ] + [(run.corpus, run.model, run.adapter) for run in variants(config)]
    return [
        f"{corpus}/{model}/{precision}"
        for corpus, model, adapter in models
        for precision in controls.precisions(config, adapter)
    ]


def _explain(errors: list[ErrorDetails], config: Mapping[str, Any]) -> str:
    """One line on the first of what pydantic found wrong."""
    found = [(*_place(error["loc"], config), error) for error in errors]
    first = found[0][0]
    # Of alternatives (`integer or auto`) pydantic tells all: the one that came furthest is meant.
    place = max((keys for keys, _, _ in found if keys[: len(first)] == first), key=len)
    value, error = next((value, error) for keys, value, error in found if keys == place)
    key = ".".join(place)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        if key in REPLACED:
            return f"config key '{key}' was replaced; {REPLACED[key]}"
        known = _known(place[:-1])
        close = difflib.get_close_matches(place[-1], known, n=1)
        advice = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return f"config key '{key}' is unknown; {advice}"
    if error["type"] == "invalid_key" or error["loc"][-1] == "[key]":
        key = ".".join(str(part) for part in error["loc"] if part != "[key]")
        return f"config key '{key}' is not text; put it in quotes"
    if error["type"] == "value_error":
        return f"config key '{key}': {error['ctx']['error']}"
    problems = dict.fromkeys(_problem(error) for keys, _, error in found if keys == place)
    remedy = "see config/README.md"
    if error["type"] == "float_type" and isinstance(value, str):
        remedy = "in YAML a number such as 1e-5 is text: write 1.0e-5"
    return f"config key '{key}': {short(value)} {' or '.join(problems)}; {remedy}"


def _place(location: Iterable[Any], config: Mapping[str, Any]) -> tuple[list[str], Any]:
    """The keys that lead to an error, without the names of pydantic's alternatives; the value."""
    keys: list[str] = []
    value: Any = config
    for part in location:
        index = isinstance(value, list) and isinstance(part, int)
        if index or (isinstance(value, Mapping) and part in value):
            keys.append(str(part))
            value = value[part]
    return keys, value


def _problem(error: ErrorDetails) -> str:
    if error["type"] in ("model_type", "dataclass_type", "dict_type"):
        return "should be a section of keys"
    return "should" + error["msg"].partition("should")[2].partition(" after validation")[0]


def _known(section: list[str]) -> list[str]:
    """The keys of a section, of which the place is given."""
    schema = part = Config.model_json_schema()
    for key in section:
        part = part.get("properties", {}).get(key) or part["additionalProperties"]
        if "$ref" in part:
            part = schema["$defs"][part["$ref"].rpartition("/")[2]]
    return list(part["properties"])


def _check_meaning(config: Json) -> None:
    made = _check_sources(config)
    if "base" in made:
        _check_heads(config["models"]["architecture"])
        _check_groups("precisions", config["precisions"], config["models"])
    extra = config["control_settings"]["precisions"]
    if config["controls"] and "base" in made:
        _check_groups("control_settings.precisions", extra, config["models"])
    if "bf16" not in config["precisions"]:
        raise InputError(
            "config key 'precisions': bf16 is missing; PrivLeak and reversion are relative to it"
        )
    controls.check(config)
    if config["seed_scope"] == "all":
        for name in ("target", "retrain"):
            if name not in made:
                raise InputError(
                    f"config key 'seed_scope': all trains {name} for each seed, but models.{name} "
                    "is given; use unlearning, or set it to train"
                )
    if config["counterpart"] != "none" and config["evaluate"]["prompt"] != "muse":
        raise InputError(
            "config key 'evaluate.prompt': the numbers of the counterpart were not made with the "
            "plain prompt; set it to muse, or counterpart to none"
        )
    if config["corpus"]["source"] == "local" and not config["muse_dir"]:
        raise InputError("config key 'muse_dir' is not set; name the folder: --config muse_dir=…")
    excerpt = config["corpus"]["excerpt"]
    if excerpt["characters"] and not excerpt["texts"]:
        raise InputError(
            "config key 'corpus.excerpt.characters': a corpus that is kept whole is not cut; set "
            "corpus.excerpt.texts too, or write 0"
        )
    for key, patterns in (
        ("unlearn.overrides", config["unlearn"]["overrides"]),
        ("sweep", config["sweep"]),
        ("selection.fixed", config["selection"]["fixed"]),
    ):
        for pattern in patterns:
            if not _could_match(pattern):
                raise InputError(
                    f"config key '{key}': '{pattern}' can match no run; "
                    "runs are named like news/npo_gdr/lora"
                )
    for model in ("base", "target", "retrain"):
        _check_multiples(f"train.{model}", config["train"][model])
    cells: dict[str, Json] = {}
    for run in runs(config):
        cell = f"{run.corpus}/{run.objective}/{run.adapter}"
        cells[cell] = unlearn_settings(config, run.corpus, run.objective, run.adapter)
        _check_multiples("unlearn.settings", cells[cell], f" in the run {cell}")
    grids.check(config, cells)


def _check_sources(config: Json) -> set[str]:
    """Those of base, target and retrain that the workflow makes, of some corpus at least."""
    made = set()
    for corpus in config["corpora"]:
        sources.tokenizer_of(config, corpus)
        for name, source in sources.used(config, corpus).items():
            if source.kind == "made":
                made.add(name)
    return made


def _check_heads(architecture: Json) -> None:
    hidden, heads = architecture["hidden"], architecture["heads"]
    if hidden % (2 * heads):
        raise InputError(
            f"config key 'models.architecture.heads': {heads} heads do not make equal and even "
            f"widths of hidden, {hidden}; let hidden be a multiple of {2 * heads}"
        )


def _check_groups(key: str, names: list[str], models: Json) -> None:
    """Tell before an hour of training what quantization would tell after it.

    Of the base that is trained from scratch; `preflight` looks at the checkpoints that are given.
    """
    for name in names:
        group = Precision.parse(name).group or 1
        for width in ("hidden", "mlp"):
            size = models["architecture"][width]
            if size % group:
                raise InputError(
                    f"config key '{key}': the group of {group} of {name} does not divide "
                    f"models.architecture.{width}, {size}; use one that does"
                )


def _could_match(pattern: str) -> bool:
    """Whether some run, of this experiment or of another's corpora, has a name like `pattern`."""
    corpus = pattern.partition("/")[0]
    return any(
        fnmatchcase(f"{corpus}/{objective}/{adapter}", pattern)
        for objective in OBJECTIVES
        for adapter in ADAPTERS
    )


def _check_multiples(place: str, settings: Json, whose: str = "") -> None:
    checkpoint_every, log_every = settings["checkpoint_every"], settings["log_every"]
    if checkpoint_every % log_every:
        raise InputError(
            f"config key '{place}.checkpoint_every': {checkpoint_every} must be a multiple of "
            f"log_every, {log_every}{whose}"
        )
    batch_size, micro = settings["batch_size"], settings.get("micro_batch_size", 0)
    if micro and batch_size % micro:
        raise InputError(
            f"config key '{place}.micro_batch_size': {micro} must be 0 or divide "
            f"batch_size, {batch_size}{whose}"
        )
