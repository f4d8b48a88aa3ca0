"""Which models are compared, in which direction, and what becomes of gaps."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_records import evaluate

from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.comparisons import comparisons
from qunlearn.statistics.inference import holm

PRECISIONS = ("bf16", "rtn4")
REFERENCES = [f"news/{model}/{name}" for model in ("target", "retrain") for name in PRECISIONS]
LEVELS = {
    "full": (0.1, 0.6),
    "full_bf16": (0.1, 0.7),
    "lora": (0.1, 0.1),
    "lora_matched": (0.1,) * 2,
}
ITEMS = 20


def cell(adapter: str, seed: int = 0, precision: str = "rtn4") -> str:
    return f"news/npo_gdr/{adapter}/seed{seed}/{precision}"


def scored(folder: Path, name: str, level: float, noise: int, status: str = "ok") -> None:
    """A model with a ROUGE-L of about `level`, whose other scores follow from it."""
    rng = np.random.default_rng(noise)
    each = level + rng.normal(0, 0.02, size=ITEMS)
    evaluate(
        folder,
        name,
        rouge=each.tolist(),
        nll=(5 - 4 * each).tolist(),
        forget=(-4 * (1 - each) + rng.normal(0, 1, ITEMS)).tolist(),
        holdout=(-4 + rng.normal(0, 1, ITEMS)).tolist(),
        status=status,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The full variant comes back in rtn4, LoRA does not."""
    for noise, (precision, level) in enumerate(zip(PRECISIONS, (0.9, 0.8), strict=True)):
        scored(tmp_path, f"news/target/{precision}", level, noise)
        scored(tmp_path, f"news/retrain/{precision}", 0.05, 10 + noise)
        for number, (adapter, values) in enumerate(LEVELS.items()):
            for seed in range(3):
                name = cell(adapter, seed, precision)
                scored(tmp_path, name, values[noise], 100 * number + 10 * seed + noise)
    return tmp_path


def compared(
    folder: Path, *adapters: str, seeds: int = 3, corpora: tuple[str, ...] = ("news",)
) -> pd.DataFrame:
    adapters = adapters or ("full", "lora")
    runs = [(a, seed, p) for a in adapters for seed in range(seeds) for p in PRECISIONS]
    cells = REFERENCES + [cell(*run) for run in runs]
    names = [name.replace("news", corpus, 1) for corpus in corpora for name in cells]
    return comparisons(Evaluations(folder, names))


def found(rows: pd.DataFrame, family: str, metric: str, adapter: str = "lora") -> Any:
    """The row at rtn4."""
    own = rows.query("objective == 'npo_gdr' and precision_a == 'rtn4' and adapter_a == @adapter")
    (row,) = own.query("family == @family and metric == @metric").itertuples()
    return row


def test_the_families_hold_what_there_is_to_compare(folder: Path) -> None:
    rows = compared(folder, "full", "lora", "lora_matched", seeds=1)
    rows = rows[rows["adapter_a"] != "lora_matched"]  # LoRA is compared with main variants alone
    columns = ["family", "objective", "adapter_a", "precision_a", "adapter_b", "precision_b"]
    assert rows[columns].drop_duplicates().agg(" ".join, axis=1).tolist() == [
        "adapters npo_gdr lora bf16 full bf16",
        "adapters npo_gdr lora rtn4 full rtn4",
        "quantization target none rtn4 none bf16",
        "quantization retrain none rtn4 none bf16",
        "quantization npo_gdr full rtn4 full bf16",
        "quantization npo_gdr lora rtn4 lora bf16",
        "reversion npo_gdr full rtn4 full bf16",
        "reversion npo_gdr lora rtn4 lora bf16",
    ]
    assert len(rows) == 2 * 5 + 4 * 5 + 2 * 4
    alone = Evaluations(folder, [cell("lora", 0), cell("full", 1)])
    assert comparisons(alone).empty  # other seeds, and no bf16


def test_differences_are_a_minus_b(folder: Path) -> None:
    rows = compared(folder)
    verbmem = found(rows, "adapters", "verbmem")
    assert verbmem.difference == pytest.approx(-50, abs=2)
    assert verbmem.ci_low < verbmem.difference < verbmem.ci_high < -40
    assert (verbmem.n, verbmem.seeds, verbmem.note) == (ITEMS, 3, "")
    assert verbmem.effect_dz < -10
    assert 0 < verbmem.minimum_effect < 2
    assert found(rows, "quantization", "verbmem", "full").difference == pytest.approx(50, abs=2)
    assert found(rows, "adapters", "nll_forget").difference == pytest.approx(2.0, abs=0.1)
    assert found(rows, "adapters", "privleak").effect_dz == "undefined"


def test_reversion_is_tested_towards_the_target(folder: Path) -> None:
    """Down in what rises with forgetting, up in what falls; one side only."""
    for seed in range(3):
        scored(folder, cell("lora", seed, "bf16"), 0.2, 3 + seed)  # forgets more in rtn4
    rows = compared(folder)
    for metric in ("verbmem", "nll_forget"):
        back = found(rows, "reversion", metric, "full")
        both = found(rows, "quantization", metric, "full")
        assert back.difference == both.difference
        assert back.p < 0.001
        assert both.p == pytest.approx(2 * back.p)
        assert found(rows, "reversion", metric).p > 0.999


def test_fewer_than_three_seeds_have_a_word_for_a_p(folder: Path) -> None:
    """However large the difference: VerMem of 70 against 10."""
    for seeds, word in ((1, "one seed"), (2, "two seeds")):
        of_seeds = compared(folder, seeds=seeds).query("adapter_a != 'none'")
        assert set(of_seeds["p"]) == set(of_seeds["p_holm"]) == {word}


def test_an_undefined_reversion_has_no_test(folder: Path) -> None:
    for precision in PRECISIONS:
        scored(folder, cell("lora", 0, precision), 0.9, 5)  # forgot nothing
    row = found(compared(folder, seeds=1), "reversion", "verbmem")
    assert (row.p, row.p_holm, row.difference) == ("one seed", "one seed", 0)
    assert row.note.startswith("reversion undefined in 1 of 1 seed; one seed")
    assert "no test" in row.note
    of_three = found(compared(folder), "reversion", "verbmem")
    assert (of_three.p, of_three.seeds) == ("two seeds", 2)
    assert of_three.note == "reversion undefined in 1 of 3 seeds"


def test_holm_is_within_family_and_corpus_and_controls_stand_apart(folder: Path) -> None:
    alone = compared(folder)
    controlled = compared(folder, "full", "lora", "lora_matched")
    own = controlled["adapter_a"] == "lora_matched"
    assert controlled[~own].to_numpy().tolist() == alone.to_numpy().tolist()
    for rows in (alone, controlled[own]):
        for _, members in rows.groupby("family"):
            members = members[[isinstance(p, float) for p in members["p"]]]
            assert members["p_holm"].tolist() == holm(members["p"].tolist())
            assert len(members)
    (folder / "books").symlink_to(folder / "news")
    both = compared(folder, corpora=("news", "books"))
    assert both.query("corpus == 'news'").to_numpy().tolist() == alone.to_numpy().tolist()


def test_diverged_seeds_are_left_out(folder: Path) -> None:
    scored(folder, cell("full", 1), 0.9, 0, status="diverged")
    row = found(compared(folder), "adapters", "verbmem")
    assert (row.seeds, row.note) == (2, "diverged in 1 of 3 seeds")
    for seed in (0, 2):
        scored(folder, cell("full", seed), 0.9, 0, status="diverged")
    row = found(compared(folder), "adapters", "verbmem")
    assert (row.difference, row.p, row.n, row.seeds) == ("diverged", None, None, 0)
    assert row.note == "diverged in 3 of 3 seeds"
