"""The configuration: checked against its schema, filled with defaults, refused in one line."""

import copy
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, get_args

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import extend

from qunlearn.experiment import controls
from qunlearn.experiment import sweep_grids as grids
from qunlearn.experiment.configdoc import values
from qunlearn.models import sources
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.run.plainvalues import check_plain, short
from qunlearn.settings.unlearning import Adapter
from qunlearn.training.objectives import check_objectives, objectives

Json = dict[str, Any]

REPLACED = {
    "keep": "write `keep_models: true` for all, else `keep_models: false`",
    "quantization.gptq_backend": "name autogptq4 among the precisions",
}
"""Keys of earlier versions -> what to write instead."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""YAML's safe loader: in C, where PyYAML was built with it; 0.2 s less for the schema."""

# JSON Schema takes 1.0 for an integer; a flag `--seed 1.0` is none.
_Validator: Any = extend(  # type: ignore[no-untyped-call]
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)


def load_schema(path: Path) -> Json:
    """The schema as a dict."""
    text = path.read_text(encoding="utf-8")
    schema: Json = yaml.load(text, Loader=LOADER)  # nosec B506 - it is a safe loader
    return schema


def resolve(config: Mapping[str, Any], schema: Json) -> Json:
    """A full configuration: `config` checked, and every absent key at its default.

    Overrides (`unlearn.overrides`) are left partial: what they do not set is not theirs to set.

    Raises:
        InputError: a value is none that a configuration can have (`plainvalues`), a key is
            unknown, a value is of the wrong kind or out of its range, a precision has no
            meaning, an override can match no run, or keys contradict each other.
    """
    check_plain(config)
    full: Json = copy.deepcopy(dict(config))
    _read_words(full, schema)
    errors = list(_Validator(schema).iter_errors(full))
    if errors:
        raise InputError(_explain(min(errors, key=lambda error: len(error.absolute_path))))
    _fill(full, schema, schema["$defs"])
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


def _read_words(values: Json, schema: Json) -> None:
    """Read what arrives as words from Snakemake's `--config controls=true seeds=[0,1]`.

    In a file YAML has read it already. What is no switch or number stays, to be complained about.
    """
    for key, part in schema["properties"].items():
        value = values.get(key)
        if part.get("type") == "boolean" and value in ("true", "false"):
            values[key] = value == "true"
        elif part.get("items", {}).get("type") == "integer" and isinstance(value, list):
            values[key] = [
                int(word) if isinstance(word, str) and word.isdecimal() else word for word in value
            ]


def _fill(values: Json, schema: Json, definitions: Json) -> None:
    for key, part in schema.get("properties", {}).items():
        if "default" in part:
            values.setdefault(key, copy.deepcopy(part["default"]))
        if "$ref" in part:
            part = definitions[part["$ref"].rpartition("/")[2]]
        if isinstance(values.get(key), dict):
            _fill(values[key], part, definitions)


def _explain(error: ValidationError) -> str:
    place = ".".join(str(part) for part in error.absolute_path)
    if error.validator == "additionalProperties":
        schema: Any = error.schema
        instance: Any = error.instance
        known = schema.get("properties", {})
        unknown = next(key for key in instance if key not in known)
        key = f"{place}.{unknown}" if place else unknown
        if key in REPLACED:
            return f"config key '{key}' is no more; {REPLACED[key]}"
        close = difflib.get_close_matches(str(unknown), known, n=1)
        advice = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
        return f"config key '{key}' is unknown; {advice}"
    if error.validator == "enum":
        allowed: Any = error.validator_value
        return (
            f"config key '{place}': {short(error.instance)} is unknown; use one of: "
            + ", ".join(str(value) for value in allowed)
        )
    if error.validator == "anyOf":
        alternatives = values({"anyOf": error.validator_value})
        return f"config key '{place}': {short(error.instance)} is not {alternatives}"
    if error.validator == "pattern":
        return (
            f"config key '{place}': {short(error.instance)} is no name; "
            "use letters, digits, '_' and '-' only"
        )
    hint = ""
    if error.validator_value == "number" and isinstance(error.instance, str):
        hint = " (in YAML a number such as 1e-5 is text: write 1.0e-5)"
    message = error.message.replace(repr(error.instance), short(error.instance))
    return f"config key '{place}': {message}{hint}; see config/README.md"


def _check_meaning(config: Json) -> None:
    made = _check_sources(config)
    check_objectives(config["unlearn"]["objectives"])
    _check_precisions("precisions", config["precisions"])
    if "base" in made:
        _check_heads(config["models"]["architecture"])
        _check_groups("precisions", config["precisions"], config["models"])
    extra = config["control_settings"]["precisions"]
    _check_precisions("control_settings.precisions", extra)
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
    for key in ("muse_dir", "python"):
        try:
            sources.check_path(config[key] or "")
        except InputError as error:
            raise InputError(f"config key '{key}': {error}") from None
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


def _check_precisions(key: str, names: list[str]) -> None:
    for name in names:
        try:
            Precision.parse(name)
        except InputError as error:
            raise InputError(f"config key '{key}': {error}") from None


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
        for objective in objectives()
        for adapter in get_args(Adapter)
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
