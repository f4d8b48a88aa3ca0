"""The script from end to end: its files, GPTQ's packed checkpoints, diverged models, mistakes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_corpora import run_script
from survival_models import save, small_llama
from tiny_models import tiny_llama

from qunlearn.models.checkpoints import load_model
from qunlearn.models.updates import quantizable_layers
from qunlearn.quantize.method import Precision
from qunlearn.quantize.packed import read_matrix
from qunlearn.run.files import write_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.survival.table import overall, read_histogram, read_survival

GPTQ = "gptq4g32"
RUN = "news/npo_klr/full/seed0"


@pytest.fixture(scope="module")
def results(tiny_run: Path) -> Path:
    return tiny_run / "results/tiny"


def test_two_files_a_precision(results: Path) -> None:
    names = ("bf16", "nf4", GPTQ, "rtn3g64")
    expected = {f"{name}{end}.csv" for name in names for end in ("", "_histogram")}
    folder = results / "survival" / RUN
    assert {path.name for path in folder.glob("[a-z]*")} == {*expected, MANIFEST}
    for name in names:
        rows = read_survival(folder / f"{name}.csv")
        assert (*rows.loc[0, ["layer", "module"]], len(rows)) == (0, "q_proj", 14)
        bins = read_histogram(folder / f"{name}_histogram.csv")
        assert bins["count"].sum() == overall(rows)["n"]
        assert bins["flips_fixed"].sum() > 0


def test_gptq_arrives_as_its_files_hold_it(results: Path) -> None:
    """Fixed: by nearest rounding onto the target's scales, which compensates nothing."""
    rows = read_survival(results / f"survival/{RUN}/{GPTQ}.csv").to_dict("records")
    before, after = (
        quantizable_layers(load_model(results / place, torch.float32))
        for place in ("models/news/target", f"unlearned/{RUN}")
    )
    for row, name in zip(rows, before, strict=True):
        weights = [layers[name].weight.detach() for layers in (before, after)]
        old, new = (
            read_matrix(results / "quantized" / model / GPTQ, name, Precision.parse(GPTQ))
            for model in ("news/target", RUN)
        )
        scales = old.scales.repeat_interleave(32, 1)
        nearest = [(weight / scales).round().clamp(-8, 7) for weight in weights]
        delta = weights[1] - weights[0]
        arrived = {"adaptive": new.dense() - old.dense()}
        arrived["fixed"] = (nearest[1] - nearest[0]) * scales
        for kind, own in arrived.items():
            cosine = float((own * delta).sum() / (own.norm() * delta.norm()))
            assert row[f"cosine_{kind}"] == pytest.approx(cosine, abs=1e-4)
            error = float((own - delta).norm() / delta.norm())
            assert row[f"error_{kind}"] == pytest.approx(error, rel=1e-4)
        flips = [float((a != b).float().mean()) for a, b in ((old.codes, new.codes), nearest)]
        assert [row["flips_adaptive"], row["flips_fixed"]] == pytest.approx(flips, abs=1e-3)
        error = float((old.dense() - weights[0]).norm() / weights[0].norm())
        assert row["rounding_error"] == pytest.approx(error, rel=1e-4)


def test_a_diverged_model_has_no_row_and_packed_ones_are_needed(
    results: Path, tmp_path: Path
) -> None:
    places = ("--target", results / "models/news/target", "--output", tmp_path / "out")
    command = ("measure_survival.py", *places, "--precisions", "rtn4", GPTQ)
    said = run_script(*command, "--model", results / "unlearned" / RUN, code=2).stderr
    assert said.startswith("error: --packed: ") and GPTQ in said
    assert not (tmp_path / "out").exists()
    write_json(tmp_path / "diverged/manifest.json", {"status": "diverged"})
    packed = [results / "quantized" / model / GPTQ for model in ("news/target", RUN)]
    run_script(*command, "--model", tmp_path / "diverged", "--packed", *packed)
    for name in ("rtn4", GPTQ):
        assert read_survival(tmp_path / "out" / f"{name}.csv").empty
        assert read_histogram(tmp_path / "out" / f"{name}_histogram.csv").empty


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
