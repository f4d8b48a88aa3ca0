"""The script from end to end: its files, GPTQ's packed checkpoints, diverged models, mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from survival_models import nudge, save, save_packed, small_llama
from torch import Tensor

from qunlearn.models.layers import quantizable_layers
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.run.manifest import MANIFEST
from qunlearn.survival.measure import measure
from qunlearn.survival.table import MatrixRow, overall, read_histogram, read_survival

SCRIPT = Path(__file__).parents[1] / "workflow" / "scripts" / "measure_survival.py"
GROUP = 16
ID = "npo_gdr/full/seed0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With target, unlearned and quantized."""
    folder = tmp_path_factory.mktemp("models")
    save(small_llama(), folder / "target")
    save(nudge(small_llama(), 0.03), folder / "unlearned")
    for name, seed in (("target", 0), (ID, 1)):
        save_packed(folder / "quantized" / name / "gptq4g16", packed_layers(seed))
    return folder


def packed_layers(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Codes and scales that no nearest rounding would give."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randint(-8, 8, layer.weight.shape, generator=generator),
            0.02 + 0.01 * torch.rand(len(layer.weight), layer.in_features // GROUP).half().float(),
        )
        for name, layer in quantizable_layers(small_llama()).items()
    }


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def measured(folder: Path, output: Path, *more: object) -> subprocess.CompletedProcess[str]:
    models = ("--target", folder / "target", "--model", folder / "unlearned")
    return run(*models, "--output", output, *more)


@pytest.fixture(scope="module")
def output(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("output")
    names = ("bf16", "nf4", "rtn3g16m", "gptq4g16")
    done = measured(
        folder,
        output,
        "--precisions",
        *names,
        "--quantized",
        folder / "quantized",
        "--model-id",
        ID,
    )
    assert done.returncode == 0, done.stderr
    return output


def test_two_files_a_precision(output: Path) -> None:
    names = ("bf16", "gptq4g16", "nf4", "rtn3g16m")
    expected = [f"{name}{end}.csv" for name in names for end in ("", "_histogram")]
    assert sorted(path.name for path in output.iterdir()) == sorted([*expected, MANIFEST])
    for name in names:
        rows = read_survival(output / f"{name}.csv")
        assert [(row.layer, row.module) for row in rows[:1]] == [(0, "q_proj")]
        assert len(rows) == 14
        bins = read_histogram(output / f"{name}_histogram.csv")
        assert sum(b.count for b in bins) == overall(rows).n
        assert sum(b.flips_fixed for b in bins) > 0


def test_the_same_bytes_again(folder: Path, output: Path, tmp_path: Path) -> None:
    assert measured(folder, tmp_path, "--precisions", "nf4").returncode == 0
    for path in tmp_path.glob("*.csv"):
        assert path.read_bytes() == (output / path.name).read_bytes()


def test_gptq_adaptive_is_what_the_files_hold(output: Path) -> None:
    rows = read_survival(output / "gptq4g16.csv")
    before, after = packed_layers(0), packed_layers(1)
    changed = quantizable_layers(nudge(small_llama(), 0.03))
    for row, (name, layer) in zip(rows, quantizable_layers(small_llama()).items(), strict=True):
        weight, unlearned = layer.weight.detach(), changed[name].weight.detach()
        delta = unlearned - weight
        old, new = (
            codes * scales.repeat_interleave(GROUP, 1)
            for codes, scales in (before[name], after[name])
        )
        flips = (before[name][0] != after[name][0]).float().mean()
        assert row.flips_adaptive == pytest.approx(float(flips), rel=1e-5)
        check_arrival(row, "adaptive", new - old, delta)
        error = float((old - weight).norm() / weight.norm())
        assert row.rounding_error == pytest.approx(error, rel=1e-3)


def test_gptq_fixed_is_nearest_rounding_onto_the_targets_scales(output: Path) -> None:
    rows = read_survival(output / "gptq4g16.csv")
    changed = quantizable_layers(nudge(small_llama(), 0.03))
    for row, (name, layer) in zip(rows, quantizable_layers(small_llama()).items(), strict=True):
        scales = packed_layers(0)[name][1].half().float().repeat_interleave(GROUP, 1)
        weight, unlearned = layer.weight.detach(), changed[name].weight.detach()
        old, new = ((w / scales).round().clamp(-8, 7) for w in (weight, unlearned))
        assert row.flips_fixed == pytest.approx(float((old != new).float().mean()), abs=1e-3)
        check_arrival(row, "fixed", (new - old) * scales, unlearned - weight)


def check_arrival(row: MatrixRow, kind: str, arrived: Tensor, delta: Tensor) -> None:
    dot = float((arrived * delta).sum())
    cosine = dot / float(arrived.norm() * delta.norm())
    assert getattr(row, f"cosine_{kind}") == pytest.approx(cosine, abs=1e-3)
    error = float((arrived - delta).norm() / delta.norm())
    assert getattr(row, f"error_{kind}") == pytest.approx(error, rel=1e-3)


def test_a_diverged_model_has_no_row(folder: Path, tmp_path: Path) -> None:
    model = tmp_path / "diverged"
    model.mkdir()
    (model / "manifest.json").write_text(json.dumps({"status": "diverged"}))
    done = run(
        *("--target", folder / "target", "--model", model, "--output", tmp_path / "out"),
        *("--precisions", "rtn4", "gptq4", "--quantized", tmp_path, "--model-id", ID),
    )
    assert done.returncode == 0, done.stderr
    for name in ("rtn4", "gptq4"):
        assert read_survival(tmp_path / "out" / f"{name}.csv") == []
        assert read_histogram(tmp_path / "out" / f"{name}_histogram.csv") == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("gptq4g16",), "gptq4g16: give --quantized and --model-id as well"),
        (("gptq4g16", "--quantized", "quantized", "--model-id", "other"), "no such folder"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    words = [str(folder / word) if word == "quantized" else word for word in arguments]
    done = measured(folder, tmp_path / "out", "--precisions", *words)
    assert done.returncode == 2
    assert complaint in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


def test_precisions_that_do_not_fit_are_refused(folder: Path) -> None:
    models = folder / "target", folder / "unlearned"
    with pytest.raises(InputError, match="group 48 does not divide the 32 inputs"):
        measure(*models, [Precision.parse("rtn3g48")], {})
    before, after = (folder / "quantized" / name / "gptq4g16" for name in ("target", ID))
    with pytest.raises(InputError, match="has 4 bits in groups of 16, which is not gptq4g32"):
        measure(*models, [Precision.parse("gptq4g32")], {"gptq4g32": (before, after)})


def test_help_is_quick_and_without_torch() -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['x', '--help']; sys.path.insert(0, {str(SCRIPT.parent)!r})\n"
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
