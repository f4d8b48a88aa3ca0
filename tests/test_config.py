"""The configuration: its defaults, files and runs; and what it refuses, in one line each."""

import datetime
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from small_fuzz import complaint

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import cells, resolve, runs, unlearn_settings
from qunlearn.experiment.configdoc import as_markdown
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.quantization import CalibrationSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import UnlearnSettings


def test_table_in_the_repository_is_up_to_date() -> None:
    """After a change of a key: make docs."""
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == as_markdown()


def test_an_empty_configuration_has_the_defaults_of_each_step() -> None:
    """A script alone does what the workflow does."""
    full = resolve({})
    assert full["corpora"] == ["news", "books"]
    assert full["corpus"]["mini"] == asdict(MiniSettings())
    assert full["corpus"]["excerpt"] == asdict(ExcerptSettings())
    assert full["models"]["architecture"] == asdict(ModelSettings())
    assert full["train"] == dict.fromkeys(("base", "target", "retrain"), asdict(TrainSettings()))
    assert full["unlearn"]["settings"] == asdict(UnlearnSettings())
    assert full["quantization"]["calibration"] == asdict(CalibrationSettings())
    assert full["evaluate"] == asdict(EvaluateSettings())
    job = {"threads": 1, "mem_mb": "auto", "runtime": "auto", "gpu": 0}
    assert all(kind == job for kind in full["resources"].values())
    assert resolve(full) == full
    full["corpora"].append("more")
    assert resolve({})["corpora"] == ["news", "books"]  # defaults are not shared


# --- Files -----------------------------------------------------------------------------------


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_later_files_win_key_by_key(tmp_path: Path) -> None:
    first = write(tmp_path / "1.yaml", "seeds: [1, 2]\ncorpus: {mini: {forget: 5}}\n")
    second = write(tmp_path / "2.yaml", '{"seeds": [3], "corpus": {"mini": {"retain": 6}}}')
    full = configfiles.read([first, second])
    assert full == resolve({"seeds": [3], "corpus": {"mini": {"forget": 5, "retain": 6}}})


def test_the_default_experiment_is_read_where_no_file_is_named(tmp_path: Path) -> None:
    default = ROOT / "config.yaml"
    mini = configfiles.read([])
    assert mini == configfiles.read([default])
    assert mini["evaluate"]["shots"] == 0 != resolve({})["evaluate"]["shots"]
    own = write(tmp_path / "own.yaml", "seeds: [3]\n")
    assert configfiles.read([default, own]) == mini | {"seeds": [3]}
    # The variants differ in how they update, and must not differ in when they stop.
    assert len({unlearn_settings(mini, run.cell)["stop_nll"] for run in runs(mini)}) == 1


def test_words_of_the_command_line_are_numbers() -> None:
    """As Snakemake's --config hands over what stands in a list or section: as text."""
    words = {"unlearn": {"settings": {"epochs": "3", "lr": "2e-5"}}, "seeds": ["0", "1"]}
    words |= {"sweep": {"*/*/lora": {"lr": ["1e-4"]}}, "controls": "true"}
    merged = words | {"unlearn": {"settings": {"beta": 0.5, "epochs": "3", "lr": "2e-5"}}}
    assert configfiles.with_words(merged, words) == {
        "unlearn": {"settings": {"beta": 0.5, "epochs": 3, "lr": 2e-5}},
        "seeds": [0, 1],
        "sweep": {"*/*/lora": {"lr": [1e-4]}},
        "controls": True,
    }


# --- Runs ------------------------------------------------------------------------------------

TWO_OF_EACH = {
    "corpora": ["news", "books"],
    "seeds": [3, 1],
    "unlearn": {"objectives": ["npo_gdr", "ga"], "adapters": ["lora", "full"]},
}


def test_cells_in_the_order_of_the_tables() -> None:
    full = resolve({**TWO_OF_EACH, "seeds": [0], "precisions": ["bf16", "nf4"]})
    unlearned = ("npo_gdr/lora/seed0", "npo_gdr/full/seed0", "ga/lora/seed0", "ga/full/seed0")
    models = [
        f"{corpus}/{model}" for corpus in ("news", "books") for model in ("target", "retrain")
    ] + [f"{corpus}/{model}" for corpus in ("news", "books") for model in unlearned]
    assert cells(full) == [f"{model}/{name}" for model in models for name in ("bf16", "nf4")]
    full = resolve({**TWO_OF_EACH, "seed_scope": "all", "precisions": ["bf16"]})
    own = ("target/seed3", "target/seed1", "retrain/seed3", "retrain/seed1", "npo_gdr/lora/seed3")
    found = [cell for cell in cells(full) if cell.startswith("news/")]
    assert found[:5] == [f"news/{model}/bf16" for model in own]


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
    full = resolve({**TWO_OF_EACH, "unlearn": unlearn})
    base = asdict(UnlearnSettings(lr=0.1, alpha=5.0))
    assert unlearn_settings(full, "news/npo_gdr/full") == base
    assert unlearn_settings(full, "news/ga/full") == base | {"alpha": 6.0}
    assert unlearn_settings(full, "news/ga/lora") == base | {"lr": 0.2, "beta": 0.7}
    assert unlearn_settings(full, "books/ga/lora") == base | {"lr": 0.3, "beta": 0.7}
    assert full["unlearn"]["settings"] == base  # no run's settings leak into another's


# --- What is refused -------------------------------------------------------------------------

BAD = {
    # Keys
    "experimnt: a": "'experimnt' is unknown; did you mean 'experiment'?",
    "train: {base: {epoch: 1}}": "'train.base.epoch' is unknown; did you mean 'epochs'?",
    'unlearn: {overrides: {"*": {dropuot: 0}}}': "'unlearn.overrides.*.dropuot' is unknown; did",
    "1: 2": "'1' is not text; put it in quotes",
    "train:": "'train': None should be a section of keys; see config/README.md",
    # Values
    "unlearn: {objectives: [npo_gdr, npo_gdx]}": "'unlearn.objectives.1': objective 'npo_gdx' is",
    "precisions: [bf16, nf5]": "'precisions.1': precision 'nf5' is unknown; use ",
    "seeds: [1, 1]": "'seeds': 1 appears twice; drop one",
    f"seeds: [0x{'f' * 5000}]": "'seeds.0': a number of more than 40 digits should be",
    "unlearn: {settings: {lr: -0.1}}": "'unlearn.settings.lr': -0.1 should be greater than 0",
    "train: {target: {lr: 1e-5}}": "'train.target.lr': '1e-5' should be a valid number; in YAML a",
    'sweep: {"*/*/lora": {rank: [4, 4]}}': "'sweep.*/*/lora.rank': 4 appears twice",
    # Names and paths
    'muse_dir: "\\ud800"': "'muse_dir': '\\ud800' should be a valid string",
    # Contradictions
    "precisions: [nf4]": "'precisions': bf16 is missing; PrivLeak and reversion are",
    "{seed_scope: all, models: {target: folder}}": "'seed_scope': all trains target and retrain",
    "{counterpart: paper, evaluate: {prompt: plain}}": "'evaluate.prompt': the counterpart's is",
    "corpus: {source: local}": "'muse_dir' is not set; name the folder: --config muse_dir=",
    "corpus: {excerpt: {characters: 9}}": "'corpus.excerpt.characters': a whole corpus",
    "models: {architecture: {heads: 3}}": "'models.architecture.heads': hidden must be a multiple",
    "models: {base: train}": "'models.base': 'train' is not for base; write 'scratch'",
    "models: {target: hub:a/b@main}": "'models.target': 'a/b@main' is not a hub id; write",
    "corpus: {source: hub, hub: {news: llama}}": "'corpus.hub.news': 'llama' is not a hub id",
    "models: {target: {poems: folder}}": "'models.target.news' is missing; say where target of",
    "models: {tokenizer: folder}": "'models.tokenizer': a base from scratch trains its own",
    "{controls: true, unlearn: {adapters: [lora]}}": "'controls': they are made from full too",
    "{controls: true, precisions: [bf16, nf4]}": "'controls': weights are spared on a plain grid",
    'unlearn: {overrides: {"books/*/lora": {log_every: 3}}}': (
        "'unlearn.settings.checkpoint_every': checkpoint_every, 100, must be a multiple of "
        "log_every, 3 in the run books/npo_gdr/lora"
    ),
    "unlearn: {settings: {micro_batch_size: 5}}": "'unlearn.settings.micro_batch_size': batch",
    # Patterns and grids
    'unlearn: {overrides: {"*/npo_gdr/lorra": {lr: 1.0}}}': "'unlearn.overrides.*/npo_gdr/lorra': ",
    'sweep: {"*": {rank: [4]}}': "'sweep': rank is a setting of LoRA, not of news/npo_gdr",
    'sweep: {"*/*/lora": {alpha: [1.0000001, 1.0000002]}}': "'sweep': two points of news/npo_gdr/l",
    '{controls: true, sweep: {"*/*/full": {lr: [1.0e-4]}}}': "'controls': full_matched needs",
}


@pytest.mark.parametrize("text", BAD)
def test_a_bad_configuration_is_refused_in_one_line(text: str) -> None:
    line = complaint(lambda: resolve(yaml.safe_load(text)))
    assert line.startswith("config key " + BAD[text])


FILES: dict[str, tuple[bytes, str]] = {
    "open bracket": (b"seeds: [1\nb: 2\n", "not valid YAML at line 2 ("),
    "list": (b"- 1\n", "has no keys; write a configuration"),
    "nothing": (b"", "has no keys"),
    "word for a switch": (b"seeds: no\n", "config key 'seeds': False should be a valid list"),
    "Latin-1": (b"experiment: \xff", "not UTF-8"),
    "too many brackets": (b"a: " + b"[" * 3000 + b"]" * 3000, "nested too deep"),
    "key twice": (b"experiment: a\nexperiment: b", "the key 'experiment' appears twice"),
    "key twice in JSON": (b'{"seeds": [0], "seeds": [1]}', "the key 'seeds' appears twice"),
    "list for a key": (b"? [a]\n: 1", "not valid YAML at line 1"),
    "template": (b"__use_yte__: true", "'__use_yte__' makes a file a template; drop it"),
    "code": (b"experiment: !!python/object/apply:os.getcwd []", "not valid YAML at line 1"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_bad_file_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    content, expected = FILES[name]
    (tmp_path / "bad.yaml").write_bytes(content)
    complaint(lambda: configfiles.read([tmp_path / "bad.yaml"]), expected)


@pytest.mark.parametrize(
    "words",
    [
        ["--configfile", "a.yaml", "--configfile", "b.yaml"],
        ["--configfile=a.yaml", "--configfiles", "b.yaml"],
        ["--config", "seeds=[0]", "-C", "experiment=x"],
    ],
)
def test_a_flag_given_twice_is_refused(words: list[str]) -> None:
    complaint(lambda: configfiles.check_flags(["snakemake", *words]), "given twice", "after one")
    configfiles.check_flags(["snakemake", "--configfile", "a", "b", "--config", "x=1", "y=2"])


# --- At every key ----------------------------------------------------------------------------


def leaves(value: Any, place: str = "") -> Iterator[str]:
    """The place of every value that is not a section (an empty one counts as a value)."""
    if isinstance(value, dict) and value:
        for key, part in value.items():
            yield from leaves(part, f"{place}.{key}".lstrip("."))
    else:
        yield place


def at(place: list[str] | tuple[str, ...], value: Any) -> Any:
    """A configuration that has `value` at `place` and says nothing else."""
    for key in reversed(place):
        value = {key: value}
    return value


KEYS = [place.split(".") for place in leaves(resolve({}))]
NEVER = [
    *(float("nan"), float("inf"), -1, -(10**12), 10**400, "a\nb", "\x1b", [[]], [None], [-1]),
    *(datetime.date(2026, 1, 1), b"bytes", {"a", "b"}, {1: 2}, {"a": {"b": []}}, [{"a": [1]}]),
]


def test_what_no_key_can_have_is_refused_at_every_key() -> None:
    for place in KEYS:
        for value in NEVER:
            complaint(lambda: resolve(at(place, value)), f"'{'.'.join(place)}")  # noqa: B023
