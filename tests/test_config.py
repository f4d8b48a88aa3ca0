"""The configuration: its defaults, its table, its files, and its runs."""

from dataclasses import asdict
from pathlib import Path

from conftest import ROOT

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import cells, resolve, runs, unlearn_settings
from qunlearn.experiment.configdoc import as_markdown
from qunlearn.experiment.names import Run
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.quantization import CalibrationSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import UnlearnSettings

# --- The table -------------------------------------------------------------------------------


def test_table_in_the_repository_is_up_to_date() -> None:
    """After a change of a key: make docs."""
    assert (ROOT / "config/README.md").read_text(encoding="utf-8") == as_markdown()


# --- Filling in ------------------------------------------------------------------------------


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


def test_runs_in_the_order_of_the_configuration() -> None:
    found = runs(resolve(TWO_OF_EACH))
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
