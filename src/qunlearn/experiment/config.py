"""The configuration: read strictly, filled with defaults, refused in one line; and its runs."""

import difflib
from collections import ChainMap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product, starmap
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from qunlearn.experiment import controls, sweep
from qunlearn.experiment.keys import Config
from qunlearn.experiment.names import AFTER, BEFORE, GIVEN, REFERENCES, Run
from qunlearn.experiment.sweep import Point
from qunlearn.models import sources
from qunlearn.run.errors import InputError, short

Json = dict[str, Any]
SEE = "see config/README.md"


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
    for contradiction in _contradictions(full):
        raise InputError(f"config key {contradiction}")
    return full


def runs(config: Json) -> list[Run]:
    """Every unlearning run of a full configuration."""
    return _runs(config, config["unlearn"]["adapters"])


def variants(config: Json) -> list[Run]:
    """Every unlearned model: the runs, the controls made from them, and the user's own."""
    own = [Run(corpus, GIVEN, AFTER, None) for corpus in config["corpora"]]
    made = _runs(config, [*config["unlearn"]["adapters"], *controls.variants(config)])
    return made + (own if config["models"]["after"] is not None else [])


def _runs(config: Json, adapters: Sequence[str]) -> list[Run]:
    objectives = config["unlearn"]["objectives"]
    return list(starmap(Run, product(config["corpora"], objectives, adapters, config["seeds"])))


def unlearn_settings(config: Json, cell: str) -> Json:
    """The settings of a cell's runs: the shared ones under those of each pattern that matches."""
    own = sweep.matching(config["unlearn"]["overrides"], cell)
    return dict(ChainMap(*reversed(own), config["unlearn"]["settings"]))


def swept_cells(config: Json) -> list[str]:
    """Every swept `<corpus>/<objective>/<adapter>`, in the order of the tables."""
    cells = dict.fromkeys(run.cell for run in runs(config))
    return [cell for cell in cells if sweep.grid_of(config["sweep"], cell)]


def points_of(config: Json, cell: str) -> list[Point]:
    """The points of a swept cell's grid, in its order."""
    return sweep.points(sweep.grid_of(config["sweep"], cell), unlearn_settings(config, cell))


def training_runs(config: Json) -> list[tuple[Run, Point]]:
    """Every training of every grid of a full configuration.

    They stand in for the runs of their cell (`runs`): a swept cell's models are chosen among
    these, not trained a second time.
    """
    points = {cell: points_of(config, cell) for cell in swept_cells(config)}
    return [(run, point) for run in runs(config) for point in points.get(run.cell, [])]


def references(config: Json) -> list[Run]:
    """Target and retrain of each corpus: one of each, or one for each seed (`seed_scope: all`).

    Retrain is left out where there is none.
    """
    seeds = config["seeds"] if config["seed_scope"] == "all" else [None]
    names = [name for name in REFERENCES if config["models"][name] is not None]
    return list(starmap(Run, product(config["corpora"], names, ["none"], seeds)))


def reference_id(config: Json, name: str, seed: int | str) -> str:
    """The id of base, target or retrain that a run with this seed starts from or compares with."""
    return f"{name}/seed{seed}" if config["seed_scope"] == "all" else name


def cells(config: Json) -> list[str]:
    """Every `<corpus>/<model id>/<precision>` of the tables, in their order."""
    return [
        f"{run.corpus}/{run.model}/{precision}"
        for run in [*references(config), *variants(config)]
        for precision in controls.precisions(config, run.adapter)
    ]


def _explain(errors: list[ErrorDetails], config: Mapping[str, Any]) -> str:
    """One line on one of the errors that pydantic found."""
    found = [(*_place(error["loc"], config), error) for error in errors]
    # Of alternatives (`integer or auto`) pydantic tells all: the one that came furthest is meant.
    place, value, error = max(found, key=lambda one: len(one[0]))
    key, kind = f"config key '{'.'.join(place)}'", error["type"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        schema = Config.model_json_schema()
        known = {
            name for part in (schema, *schema["$defs"].values()) for name in part["properties"]
        }
        close = difflib.get_close_matches(place[-1], known, n=1)
        return f"{key} is unknown; " + (f"did you mean '{close[0]}'?" if close else SEE)
    if kind == "value_error":
        return f"{key}: {error['ctx']['error']}"
    if kind == "invalid_key" or error["loc"][-1] == "[key]":
        key = ".".join(str(part) for part in error["loc"] if part != "[key]")
        return f"config key '{key}' is not text; put it in quotes"
    problems = dict.fromkeys(_problem(error) for keys, _, error in found if keys == place)
    in_words = kind == "float_type" and isinstance(value, str)
    remedy = "in YAML a number such as 1e-5 is text: write 1.0e-5" if in_words else SEE
    return f"{key}: {short(value)} {' or '.join(problems)}; {remedy}"


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


def _contradictions(config: Json) -> Iterator[str]:
    """Keys that contradict each other: `'key': problem; remedy`."""
    made = set()
    for corpus in config["corpora"]:
        sources.tokenizer_of(config, corpus)
        used = sources.used(config, corpus)
        made |= {name for name, source in used.items() if source.kind == "made"}
    yield from controls.contradictions(config)
    if "bf16" not in config["precisions"]:
        yield "'precisions': bf16 is missing; PrivLeak and reversion are relative to it"
    if config["seed_scope"] == "all" and not {"target", "retrain"} <= made:
        yield "'seed_scope': all trains target and retrain, but one is given; use unlearning"
    if config["counterpart"] != "none" and config["evaluate"]["prompt"] != "muse":
        yield "'evaluate.prompt': the counterpart's is muse; set it to that, or counterpart to none"
    yield from _of_audits(config, made)
    if config["corpus"]["source"] == "local" and not config["muse_dir"]:
        yield "'muse_dir' is not set; name the folder: --config muse_dir=…"
    if config["corpus"]["excerpt"]["characters"] and not config["corpus"]["excerpt"]["texts"]:
        yield "'corpus.excerpt.characters': a whole corpus is not cut; set corpus.excerpt.texts too"
    shape = config["models"]["architecture"]
    if "base" in made and shape["hidden"] % (2 * shape["heads"]):
        yield "'models.architecture.heads': hidden must be a multiple of twice the heads"
    for model, settings in config["train"].items():
        yield from _multiples(f"train.{model}", settings)
    own = {run.cell: unlearn_settings(config, run.cell) for run in runs(config)}
    for cell, settings in own.items():
        yield from _multiples("unlearn.settings", settings, f" in the run {cell}")
    yield from sweep.contradictions(config, own)


def _of_audits(config: Json, made: set[str]) -> Iterator[str]:
    """What contradicts itself where a given model is looked at, or the corpus is a user's text."""
    models, text = config["models"], config["corpus"]["source"] == "text"
    if not config["unlearn"]["objectives"] and models["after"] is None:
        yield "'unlearn.objectives': nothing to unlearn; name one, or a model in models.after"
    if config["unlearn"]["objectives"] and models["after"] is not None:
        yield "'models.after': is audited alone; set unlearn.objectives to []"
    if models["after"] is not None and config["precisions"] == [BEFORE]:
        yield "'precisions': bf16 alone is no format to audit; add one"
    if text and not config["corpus"]["forget"]:
        yield "'corpus.forget' is not set; name the text that should have been forgotten"
    if text and (made or models["after"] is None):
        yield (
            "'corpus.source': text is for auditing given models, and trains none; set "
            "models.target, models.after and models.retrain (null: none)"
        )
    if text and len(config["corpora"]) > 1:
        yield "'corpora': text makes one corpus; name one"
    if models["retrain"] is None and not text:
        yield "'models.retrain': null is for corpus.source text alone; PrivLeak is relative to it"


def _multiples(place: str, settings: Json, whose: str = "") -> Iterator[str]:
    for key, whole, part in (
        ("checkpoint_every", "checkpoint_every", "log_every"),
        ("micro_batch_size", "batch_size", "micro_batch_size"),
    ):
        if settings[whole] % (settings.get(part) or 1):
            yield (
                f"'{place}.{key}': {whole}, {settings[whole]}, must be a multiple of {part}, "
                f"{settings[part]}{whose}"
            )
