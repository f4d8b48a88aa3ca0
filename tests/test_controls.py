"""The controls: which there are, how updates are scaled and matched, which weights are spared."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import Snakemake
from safetensors.torch import load_file
from small_summaries import unpadded
from small_workflow import run_on
from survival_models import rounded_to, save

from qunlearn.experiment import controls
from qunlearn.experiment.config import cells, resolve, variants
from qunlearn.models.checkpoints import is_diverged, load_dense, load_model
from qunlearn.models.updates import Update, quantizable_layers, update_norm
from qunlearn.quantize.method import Precision
from qunlearn.quantize.spare import chosen, quantize_spared
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.training.match import Run, next_lr, scale_lora

ON: dict[str, Any] = {
    "controls": True,
    "corpora": ["news"],
    "precisions": ["bf16", "nf4", "rtn3g64"],
}


# --- Which there are ---------------------------------------------------------------------------


def test_each_variant_has_its_precisions() -> None:
    config = resolve(ON)
    found = [cell.removeprefix("news/") for cell in cells(config)]

    assert [run.adapter for run in variants(config)] == [
        "full", "full_bf16", "lora", "full_matched",
        "lora_scaled0.5", "lora_scaled0.75", "lora_scaled1.5", "lora_matched",
        "spare_zero_bin", "spare_other_bins", "spare_unmoved",
    ]  # fmt: skip
    own = {
        adapter: [cell.rpartition("/")[2] for cell in found if f"/{adapter}/" in cell]
        for adapter in ("lora", "lora_scaled1.5", "spare_unmoved")
    }
    assert own["lora"] == ["bf16", "nf4", "rtn3g64", "rtn3g64m"]
    assert own["lora_scaled1.5"] == ["bf16", "nf4", "rtn3g64"]
    assert own["spare_unmoved"] == ["bf16", "rtn3g64"]
    assert "target/rtn3g64m" in found  # without it no reversion could be told


# --- Scaled LoRA -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def target(tiny_run: Path) -> Path:
    return tiny_run / "results/tiny/models/news/target"


@pytest.fixture(scope="module")
def lora(tiny_run: Path) -> Path:
    return tiny_run / "results/tiny/unlearned/news/npo_klr/lora/seed0"


@pytest.mark.parametrize("factor", [0.5, 3.0])
def test_an_adapter_is_scaled(target: Path, lora: Path, tmp_path: Path, factor: float) -> None:
    scale_lora(lora, f"scaled{factor}", target, target, tmp_path / "out")
    base, whole, scaled = (
        load_dense(target), load_dense(lora, target), load_dense(tmp_path / "out", target)
    )  # fmt: skip
    for name, layer in quantizable_layers(base).items():
        delta = whole.get_submodule(name).weight - layer.weight
        expected = layer.weight + factor * delta
        assert torch.allclose(scaled.get_submodule(name).weight, expected, atol=1e-6), name
    norms = [update_norm(target, folder) for folder in (tmp_path / "out", lora)]
    assert norms[0] == pytest.approx(factor * norms[1])
    scale_lora(lora, "matched", target, tmp_path / "out", tmp_path / "matched")
    assert update_norm(target, tmp_path / "matched") == pytest.approx(norms[0])


def test_what_cannot_be_scaled(target: Path, lora: Path, tmp_path: Path) -> None:
    diverged = tmp_path / "diverged"
    write_json(diverged / "manifest.json", {"status": "diverged", "outputs": {}})
    for adapter, size in ((diverged, "scaled0.5"), (lora, "matched")):
        scale_lora(adapter, size, target, diverged, tmp_path / "out")
        assert is_diverged(tmp_path / "out")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.json"]
    with pytest.raises(InputError, match="not a LoRA adapter"):
        scale_lora(target, "scaled2", target, lora, tmp_path / "out")


# --- The search for a learning rate ------------------------------------------------------------


def search(norm_of: Any, start: float, goal: float, most: int = 8) -> list[Run]:
    runs = [Run(start, norm_of(start))]
    while abs(runs[-1].norm / goal - 1) > 0.05 and len(runs) <= most:
        lr = next_lr(runs, goal)
        runs.append(Run(lr, norm_of(lr)))
    return runs


@pytest.mark.parametrize("factor", [0.4, 1.5, 6.0])
def test_a_norm_that_jumps_is_found(factor: float) -> None:
    """A run's length is a whole number of looks at its NLL: the norm falls at each one less."""

    def norm_of(lr: float) -> float:
        looks = max(1, round(1.6e-4 / lr * 4))
        return lr * looks**0.7

    goal = factor * norm_of(3e-5)
    runs = search(norm_of, 3e-5, goal)
    assert runs[-1].norm == pytest.approx(goal, rel=0.05)


def test_a_rate_at_which_training_diverges_is_an_upper_end() -> None:
    runs = search(lambda lr: 100 * lr**0.8 if lr < 2e-4 else math.inf, 1e-5, 100 * 1.9e-4**0.8)
    assert any(math.isinf(run.norm) for run in runs)
    assert math.isfinite(runs[-1].norm)
    assert all(first.lr != second.lr for first, second in pairwise(runs))


# --- Sparing -----------------------------------------------------------------------------------

GRID = Precision.parse("rtn3")
WEIGHT = torch.tensor([[3.0, 0.2, -0.4, 2.2, 0.1, -1.2]])  # a step of 1: codes 3 0 0 2 0 -1
DELTA = torch.tensor([[0.0, 0.1, 0.2, 0.1, 0.0, 0.0]])


def picked(choice: controls.Choice, precision: Precision = GRID) -> list[bool]:
    update = Update("x", 0, "x", WEIGHT, DELTA)
    mask = chosen(update, precision, choice, torch.Generator().manual_seed(0))
    return mask[0].tolist()


def test_spared_weights_by_hand() -> None:
    assert picked("zero_bin") == [False, True, True, False, False, False]
    assert picked("other_bins") == [False, False, False, True, False, False]
    unmoved = picked("unmoved")
    assert sum(unmoved) == 2  # as many as zero_bin
    assert not any(kept and moved for kept, moved in zip(unmoved, (DELTA != 0)[0], strict=True))

    assert not any(picked("zero_bin", Precision.parse("bf16")))
    # Of a mid-rise grid no code stands for 0, not even the code 0.
    assert not any(picked("zero_bin", Precision.parse("rtn3m")))


@pytest.mark.parametrize("choice", ["zero_bin", "other_bins"])
def test_spared_weights_keep_their_value_and_all_others_are_rounded(
    target: Path, tmp_path: Path, choice: controls.Choice
) -> None:
    """Of the target with a tenth of its weights moved."""
    model = load_model(target, torch.float32)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            where = torch.rand(layer.weight.shape, generator=generator) < 0.1
            layer.weight[where] *= 1.25
    moved, out = tmp_path / "moved", tmp_path / "out"
    write_json(moved / "manifest.json", {"step": "unlearn", "status": "ok", "outputs": {}})
    save(model, moved)
    facts = quantize_spared(target, moved, Precision.parse("rtn3g32"), choice, 0, out)

    files = [load_file(folder / "model.safetensors") for folder in (target, moved, out)]
    spared = total = 0
    for name in quantizable_layers(model):
        w, u, q = (tensors[f"{name}.weight"].float() for tensors in files)
        at_zero = rounded_to("rtn3g32", w) == 0
        kept = (w != u) & (at_zero if choice == "zero_bin" else ~at_zero)
        assert torch.equal(q, torch.where(kept, u, rounded_to("rtn3g32", u)))
        spared, total = spared + int(kept.sum()), total + w.numel()
    assert facts["spared"] == pytest.approx(spared / total, abs=1e-6)
    assert 0 < facts["spared"] < facts["moved"]
    assert torch.equal(files[2]["lm_head.weight"], files[1]["lm_head.weight"])


# --- On the tiny experiment, from the finished runs --------------------------------------------

SCALED = (
    *(f"lora_scaled{factor:g}" for factor in controls.FACTORS),
    "lora_matched",
    "full_matched",
)
SPARED = tuple(f"spare_{choice}" for choice in controls.CHOICES)


@pytest.fixture(scope="module")
def results(tiny_run: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    settings = {"controls": True, "precisions": ["bf16", "rtn3g64"]}
    return run_on(snakemake, tiny_run, tmp_path_factory.mktemp("controls"), settings)


def test_every_control_has_its_reversion(results: Path) -> None:
    rows = pd.read_csv(results / "tables/metrics.csv").query("metric == 'reversion_nll_forget'")
    found = set(zip(rows["adapter"], rows["precision"], strict=True))
    trained = ("full", "full_bf16", "lora")
    assert found == {(adapter, "rtn3g64m") for adapter in trained} | {
        (adapter, precision)
        for adapter in (*trained, *SCALED, *SPARED)
        for precision in ("bf16", "rtn3g64")
    }


def test_the_search_and_what_was_spared_are_on_record(results: Path) -> None:
    folder = results / "unlearned/news/npo_klr/full_matched/seed0"
    search = read_json(folder / "search.json")
    last = search["runs"][-1]
    assert abs(last["norm"] / search["norm"] - 1) <= 0.05
    assert read_json(folder / MANIFEST)["settings"]["lr"] == last["lr"]
    assert not list((results / "checkpoints").glob("*"))

    def spared(name: str) -> Any:
        return read_json(results / "quantized/news/npo_klr" / name / "seed0/rtn3g64" / MANIFEST)

    zero, other, unmoved = (spared(name)["spared"] for name in SPARED)
    assert zero == unmoved > 0
    moved = spared("spare_unmoved")["moved"]
    assert zero + other == pytest.approx(moved, abs=1e-5)


CARDS = {
    "lora": ["| Precision | RTN3 g64 (`rtn3g64`) |"],
    "lora_scaled0.5": ["LoRA × 0.5 (`lora_scaled0.5`)", "scaled by | 0.5 |", "`rank`"],
    "full_matched": ["FT at LoRA's norm"],
    "spare_zero_bin": ["| Weights left unrounded | `zero_bin` |", "| Their share of the"],
}


def test_controls_have_cards_of_the_manifests_that_made_them(results: Path) -> None:
    for name, facts in CARDS.items():
        file = results / f"cards/news/npo_klr/{name}/seed0/rtn3g64.md"
        text = unpadded(file.read_text(encoding="utf-8"))
        assert [fact for fact in facts if fact not in text] == []
        assert ("It is a control" in text) == (name != "lora")
