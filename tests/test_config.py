"""The configuration: its schema, its defaults, its table, and its runs."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import yaml
from conftest import ROOT

from qunlearn.experiment.config import Run, cells, load_schema, resolve, runs, unlearn_settings
from qunlearn.experiment.configdoc import HEAD, as_markdown
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.quantization import CalibrationSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import Adapter, UnlearnSettings

SCHEMA = load_schema(ROOT / "workflow/schemas/config.schema.yaml")
PARTS = SCHEMA["properties"]
EXPERIMENTS = sorted((ROOT / "config").glob("*.yaml"))


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def objects(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every part of the schema that describes an object, with its place."""
    if schema.get("type") == "object":
        yield place, schema
    for key, part in [*schema.get("properties", {}).items(), *schema.get("$defs", {}).items()]:
        yield from objects(part, f"{place}.{key}".lstrip("."))


OBJECTS = dict(objects(SCHEMA))
LEAVES = {
    f"{place}.{key}": part
    for place, schema in OBJECTS.items()
    for key, part in schema.get("properties", {}).items()
}


# --- The schema ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("section", "dataclass"),
    [
        (PARTS["corpus"]["properties"]["mini"], MiniSettings),
        (PARTS["corpus"]["properties"]["excerpt"], ExcerptSettings),
        (PARTS["models"]["properties"]["architecture"], ModelSettings),
        (SCHEMA["$defs"]["training"], TrainSettings),
        (SCHEMA["$defs"]["unlearning"], UnlearnSettings),
        (PARTS["evaluate"], EvaluateSettings),
        (PARTS["quantization"]["properties"]["calibration"], CalibrationSettings),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_schema_and_settings_agree(section: dict[str, Any], dataclass: type) -> None:
    """Names, their order, defaults and types: a script alone does what the workflow does."""
    parts = section["properties"]
    fields = {field.name: field for field in dataclasses.fields(dataclass)}
    assert list(parts) == list(fields)
    types = get_type_hints(dataclass)
    kinds = {int: "integer", float: "number", bool: "boolean"}
    for name, part in parts.items():
        assert part["default"] == fields[name].default, name
        if "enum" in part:
            assert tuple(part["enum"]) == get_args(types[name]), name
        elif "anyOf" in part:
            number, words = part["anyOf"]
            kind, choices = get_args(types[name])
            assert number["type"] == kinds[kind], name
            assert tuple(words["enum"]) == get_args(choices), name
        else:
            assert part["type"] == kinds[types[name]], name
            assert type(fields[name].default) is types[name], name


def test_adapters_are_those_of_the_settings() -> None:
    unlearn = PARTS["unlearn"]["properties"]
    assert tuple(unlearn["adapters"]["items"]["enum"]) == get_args(Adapter)


@pytest.mark.parametrize("place", OBJECTS)
def test_no_object_takes_unknown_keys(place: str) -> None:
    extra = OBJECTS[place]["additionalProperties"]
    assert extra is False or "$ref" in extra


@pytest.mark.parametrize("key", LEAVES)
def test_every_key_is_described_and_has_a_default(key: str) -> None:
    assert len(LEAVES[key]["description"]) > 4
    assert "default" in LEAVES[key]
    assert "|" not in LEAVES[key]["description"]  # it would split a cell of the table


def test_schema_has_the_parts_that_these_tests_look_at() -> None:
    assert len(OBJECTS) > 8
    assert len(LEAVES) > 60


# --- The table -------------------------------------------------------------------------------


def test_table_in_the_repository_is_up_to_date() -> None:
    """After a change of the schema: make docs."""
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == as_markdown(SCHEMA)


def test_table_has_every_key_once() -> None:
    lines = as_markdown(SCHEMA).removeprefix(HEAD).splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    assert {len(row) for row in rows} == {4}
    keys = [row[0].strip("`") for row in rows]
    assert len(keys) == len(set(keys))
    full = resolve({}, SCHEMA)
    for key in keys:
        value = full
        for part in key.split("."):
            value = value[part]
    assert len(keys) == sum(1 for _ in leaves(full))


def leaves(value: Any) -> Iterator[Any]:
    """Every value of a configuration that is no section (an empty one counts as a value)."""
    if isinstance(value, dict) and value:
        for part in value.values():
            yield from leaves(part)
    else:
        yield value


def test_lines_of_the_table() -> None:
    lines = as_markdown(SCHEMA).splitlines()

    def line(key: str) -> str:
        return next(line for line in lines if line.startswith(f"| `{key}` |"))

    assert line("evaluate.min_k").startswith("| `evaluate.min_k` | number > 0 and ≤ 1 | `0.4` |")
    assert line("train.base.warmup").startswith("| `train.base.warmup` | integer ≥ 0 | `10` |")
    assert line("muse_dir").startswith("| `muse_dir` | string or null | `null` |")
    assert "| list of `full`, `full_bf16`, `lora` |" in line("unlearn.adapters")
    assert '| `documents`, `stream` | `"documents"` |' in line("unlearn.settings.chunking")


# --- The experiments that come along ---------------------------------------------------------


def test_the_default_experiment_is_valid() -> None:
    full = resolve(read(ROOT / "config.yaml"), SCHEMA)
    assert full["experiment"] == "mini"
    # The variants differ in how they update, and must not differ in when they stop.
    stops = {
        unlearn_settings(full, run.corpus, run.objective, run.adapter)["stop_nll"]
        for run in runs(full)
    }
    assert len(stops) == 1


def test_experiments_keep_to_folders_of_their_own() -> None:
    names = [read(path)["experiment"] for path in [ROOT / "config.yaml", *EXPERIMENTS]]
    assert len(names) == len(set(names)) > 1


# --- Filling in ------------------------------------------------------------------------------


def test_an_empty_configuration_is_all_defaults() -> None:
    full = resolve({}, SCHEMA)
    assert full["corpora"] == ["news", "books"]
    assert full["corpus"]["mini"] == dataclasses.asdict(MiniSettings())
    assert full["corpus"]["excerpt"] == dataclasses.asdict(ExcerptSettings())
    assert full["models"]["architecture"] == dataclasses.asdict(ModelSettings())
    for name in ("base", "target", "retrain"):
        assert full["train"][name] == dataclasses.asdict(TrainSettings())
    assert full["unlearn"]["settings"] == dataclasses.asdict(UnlearnSettings())
    assert full["unlearn"]["overrides"] == {}
    assert full["evaluate"] == dataclasses.asdict(EvaluateSettings())
    for job in ("data", "train", "unlearn", "quantize", "evaluate", "tables"):
        assert full["resources"][job] == {
            "threads": 1,
            "mem_mb": "auto",
            "runtime": "auto",
            "gpu": 0,
        }
    assert resolve(full, SCHEMA) == full


def test_what_is_given_stays_and_the_rest_is_filled() -> None:
    given = {
        "train": {"target": {"lr": 0.5}},
        "corpus": {"mini": {"forget": 3}},
        "unlearn": {"overrides": {"*/*/lora": {"lr": 0.25}}},
    }
    full = resolve(given, SCHEMA)
    assert full["train"]["target"] == dataclasses.asdict(TrainSettings(lr=0.5))
    assert full["train"]["base"] == dataclasses.asdict(TrainSettings())
    assert full["corpus"]["mini"] == dataclasses.asdict(MiniSettings(forget=3))
    assert full["unlearn"]["overrides"] == {"*/*/lora": {"lr": 0.25}}  # partial on purpose
    assert given["train"] == {"target": {"lr": 0.5}}  # the caller's own is untouched


def test_defaults_are_not_shared() -> None:
    first = resolve({}, SCHEMA)
    first["corpora"].append("more")
    first["train"]["base"]["lr"] = 7.0
    assert resolve({}, SCHEMA)["corpora"] == ["news", "books"]
    assert first["train"]["target"]["lr"] == 0.001


def test_local_with_its_folder_is_accepted() -> None:
    full = resolve({"corpus": {"source": "local"}, "muse_dir": "somewhere"}, SCHEMA)
    assert full["muse_dir"] == "somewhere"


# --- Runs ------------------------------------------------------------------------------------

TWO_OF_EACH = {
    "corpora": ["news", "books"],
    "seeds": [3, 1],
    "unlearn": {"objectives": ["npo_gdr", "ga"], "adapters": ["lora", "full"]},
}


def test_runs_in_the_order_of_the_configuration() -> None:
    found = runs(resolve(TWO_OF_EACH, SCHEMA))
    assert len(found) == 16
    assert found[:5] == [
        Run("news", "npo_gdr", "lora", 3),
        Run("news", "npo_gdr", "lora", 1),
        Run("news", "npo_gdr", "full", 3),
        Run("news", "npo_gdr", "full", 1),
        Run("news", "ga", "lora", 3),
    ]
    assert found[8] == Run("books", "npo_gdr", "lora", 3)


def test_cells_in_the_order_of_the_tables() -> None:
    full = resolve({**TWO_OF_EACH, "seeds": [0], "precisions": ["bf16", "nf4"]}, SCHEMA)
    models = [
        "target",
        "retrain",
        "npo_gdr/lora/seed0",
        "npo_gdr/full/seed0",
        "ga/lora/seed0",
        "ga/full/seed0",
    ]
    expected = [f"{model}/{precision}" for model in models for precision in ("bf16", "nf4")]
    found = cells(full)
    for corpus in ("news", "books"):
        assert [cell.removeprefix(f"{corpus}/") for cell in found if corpus in cell] == expected
    assert len(found) == 2 * len(expected)


def test_each_seed_has_its_own_target_and_retrain_where_seeds_decide_all() -> None:
    full = resolve({**TWO_OF_EACH, "seed_scope": "all", "precisions": ["bf16"]}, SCHEMA)
    assert [cell for cell in cells(full) if cell.startswith("news/")][:5] == [
        "news/target/seed3/bf16",
        "news/target/seed1/bf16",
        "news/retrain/seed3/bf16",
        "news/retrain/seed1/bf16",
        "news/npo_gdr/lora/seed3/bf16",
    ]


def test_seeds_read_from_the_command_line_are_numbers() -> None:
    assert resolve({"seeds": ["0", "12"]}, SCHEMA)["seeds"] == [0, 12]


def test_later_patterns_win_over_earlier_ones_and_over_the_shared_settings() -> None:
    unlearn = {
        **TWO_OF_EACH["unlearn"],
        "settings": {"lr": 0.1, "alpha": 5.0},
        "overrides": {
            "*/*/lora": {"lr": 0.2, "beta": 0.7},
            "books/*": {"lr": 0.3},
            "news/ga/full": {"alpha": 6.0},
        },
    }
    full = resolve({**TWO_OF_EACH, "unlearn": unlearn}, SCHEMA)
    base = dataclasses.asdict(UnlearnSettings(lr=0.1, alpha=5.0))
    assert unlearn_settings(full, "news", "npo_gdr", "full") == base
    assert unlearn_settings(full, "news", "ga", "full") == base | {"alpha": 6.0}
    assert unlearn_settings(full, "news", "ga", "lora") == base | {"lr": 0.2, "beta": 0.7}
    assert unlearn_settings(full, "books", "ga", "lora") == base | {"lr": 0.3, "beta": 0.7}
    assert full["unlearn"]["settings"] == base  # no run's settings leak into another's
