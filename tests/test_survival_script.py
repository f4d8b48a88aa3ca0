"""The script from end to end: its files, GPTQ's packed checkpoints, diverged models, mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_corpora import run_script
from survival_models import nudge, save, save_packed, small_llama
from tiny_models import tiny_llama
from torch import Tensor

from qunlearn.models.updates import quantizable_layers
from qunlearn.run.files import write_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.survival.table import overall, read_histogram, read_survival

GROUP = 16
ID = "npo_gdr/full/seed0"
NAMES = ("bf16", "nf4", "rtn3g16m", "gptq4g16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With target, unlearned, quantized, and the output of the script."""
    folder = tmp_path_factory.mktemp("models")
    save(small_llama(64), folder / "target")
    save(nudge(small_llama(64), 0.03), folder / "unlearned")
    for name, seed in (("target", 0), (ID, 1)):
        save_packed(folder / "quantized" / name / "gptq4g16", packed_layers(seed))
    run(folder, folder / "output", *NAMES, "--packed", *packed_folders(folder))
    return folder


def packed_folders(folder: Path) -> list[Path]:
    return [folder / "quantized" / name / "gptq4g16" for name in ("target", ID)]


def packed_layers(seed: int) -> dict[str, tuple[Tensor, Tensor]]:
    """Codes and scales that no nearest rounding would give."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: (
            torch.randint(-8, 8, layer.weight.shape, generator=generator),
            (0.02 + 0.01 * torch.rand(len(layer.weight), layer.in_features // GROUP)).half(),
        )
        for name, layer in quantizable_layers(small_llama(64)).items()
    }


def run(folder: Path, output: Path, *more: object, model: Path | None = None, code: int = 0) -> str:
    return run_script(
        "measure_survival.py",
        *("--target", str(folder / "target"), "--model", str(model or folder / "unlearned")),
        *("--output", str(output), "--precisions", *map(str, more)),
        code=code,
    ).stderr


def test_two_files_a_precision(folder: Path) -> None:
    expected = {f"{name}{end}.csv" for name in NAMES for end in ("", "_histogram")}
    assert {path.name for path in (folder / "output").iterdir()} == {*expected, MANIFEST}
    for name in NAMES:
        rows = read_survival(folder / f"output/{name}.csv")
        assert (*rows.loc[0, ["layer", "module"]], len(rows)) == (0, "q_proj", 14)
        bins = read_histogram(folder / f"output/{name}_histogram.csv")
        assert bins["count"].sum() == overall(rows)["n"]
        assert bins["flips_fixed"].sum() > 0


def test_gptq_arrives_as_its_files_hold_it(folder: Path) -> None:
    """Fixed: by nearest rounding onto the target's scales, which compensates nothing."""
    rows = read_survival(folder / "output/gptq4g16.csv").to_dict("records")
    target, model = map(quantizable_layers, (small_llama(64), nudge(small_llama(64), 0.03)))
    before, after = packed_layers(0), packed_layers(1)
    for row, name in zip(rows, target, strict=True):
        weight, unlearned = target[name].weight.detach(), model[name].weight.detach()
        scales, others = (
            packed[name][1].float().repeat_interleave(GROUP, 1) for packed in (before, after)
        )
        codes = before[name][0], after[name][0]
        nearest = [(w / scales).round().clamp(-8, 7) for w in (weight, unlearned)]
        delta, old = unlearned - weight, codes[0] * scales
        arrived = {"adaptive": codes[1] * others - old, "fixed": (nearest[1] - nearest[0]) * scales}
        for kind, own in arrived.items():
            cosine = float((own * delta).sum() / (own.norm() * delta.norm()))
            assert row[f"cosine_{kind}"] == pytest.approx(cosine, abs=1e-4)
            error = float((own - delta).norm() / delta.norm())
            assert row[f"error_{kind}"] == pytest.approx(error, rel=1e-4)
        flips = [float((a != b).float().mean()) for a, b in (codes, nearest)]
        assert [row["flips_adaptive"], row["flips_fixed"]] == pytest.approx(flips, abs=1e-3)
        error = float((old - weight).norm() / weight.norm())
        assert row["rounding_error"] == pytest.approx(error, rel=1e-4)


def test_a_diverged_model_has_no_row(folder: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "diverged/manifest.json", {"status": "diverged"})
    more = ("rtn4", "gptq4", "--packed", *packed_folders(folder))
    run(folder, tmp_path / "out", *more, model=tmp_path / "diverged")
    for name in ("rtn4", "gptq4"):
        assert read_survival(tmp_path / "out" / f"{name}.csv").empty
        assert read_histogram(tmp_path / "out" / f"{name}_histogram.csv").empty


def test_what_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    error = run(folder, tmp_path / "out", "gptq4g16", code=2)
    assert error.startswith("error: --packed: ") and "gptq4g16" in error
    assert not (tmp_path / "out").exists()


# --- Peak memory: three copies of the largest matrix, never a model ----------------------------

MIB = 2**20
HIDDEN, MLP = 512, 8192
TEMPORARIES = 14  # MiB; blocks of rows, and code that loads on first use
# The peak of this program alone: ru_maxrss starts with that of the process that started it.
MEASURE = """
import sys
from pathlib import Path
from qunlearn.run.cli import hide_unused
hide_unused()
from qunlearn.quantize.method import Precision
from qunlearn.survival.measure import measure
from qunlearn.models.updates import update_norm

def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024

small, model, target = map(Path, sys.argv[1:])
precisions = [Precision.parse(name) for name in ("nf4", "rtn3g64m")]
measure(small, small, precisions, {})  # what loads on first use
before = peak()
measure(target, model, precisions, {})
update_norm(target, model)
print(peak() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_peak_is_three_copies_of_a_matrix(tmp_path: Path) -> None:
    sizes = {"intermediate_size": MLP, "num_hidden_layers": 1}
    model, small = tiny_llama(320, HIDDEN, **sizes), save(small_llama(64), tmp_path / "small")
    folders = save(model, tmp_path / "model"), save(model.bfloat16(), tmp_path / "target")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, small, *folders],
        capture_output=True,
        text=True,
        check=True,
        # Freed memory goes back at once: the peak is of what is in use.
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": str(MIB)},
    )

    matrix = HIDDEN * MLP * 4 / MIB
    assert 2 * matrix < float(done.stdout) < 3 * matrix + TEMPORARIES
