"""`qunlearn forecast`: from two checkpoints to a row a format, a table and a figure."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from survival_models import rounded_to, save, small_llama
from torch import Tensor

from qunlearn.models.updates import quantizable_layers
from qunlearn.report.pair_forecast import FORMATS, Forecast, forecast_pair, markdown, split
from qunlearn.report.repair import candidates, repair_markdown, repairs
from qunlearn.run.errors import InputError
from qunlearn.survival.forecast import Verdict

SHARE = 0.2
"""Of the weights, those nearest to 0, is moved by a hundredth of their size."""


def pair(folder: Path) -> tuple[Path, Path]:
    before = save(small_llama(64), folder / "before")
    model = small_llama(64)
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            near = layer.weight.abs() < layer.weight.abs().quantile(SHARE)
            layer.weight[near] *= 1.01
    return before, save(model, folder / "after")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return pair(tmp_path_factory.mktemp("pair"))


def command(*arguments: object) -> "subprocess.CompletedProcess[str]":
    words = [sys.executable, "-m", "qunlearn", "forecast", *map(str, arguments)]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    return subprocess.run(words, env=surroundings, capture_output=True, text=True)


def test_the_command_writes_table_and_figure(models: tuple[Path, Path], tmp_path: Path) -> None:
    done = command(*models, "--formats", "rtn3g64", "q4_0", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {f"forecast.{suffix}" for suffix in ("csv", "md", "png", "pdf")}
    with (tmp_path / "out/forecast.csv").open() as file:
        rows = {row["format"]: row for row in csv.DictReader(file)}
    assert [row["verdict"] for row in rows.values()] == ["lost", "amplified"]
    for name, row in rows.items():
        zero = moved = total = 0
        for layer in quantizable_layers(small_llama(64)).values():
            weight: Tensor = layer.weight.detach()
            zero += int((rounded_to(name, weight) == 0).sum())
            moved += int((weight.abs() < weight.abs().quantile(SHARE)).sum())
            total += weight.numel()
        assert float(row["zero"]) == pytest.approx(zero / total, rel=1e-5)
        assert float(row["moved"]) == pytest.approx(moved / total, rel=1e-5)
        assert float(row["ratio"]) == pytest.approx(moved / zero, rel=1e-5)
    assert done.stdout.strip() == (tmp_path / "out/forecast.md").read_text().strip()


def test_one_line_for_what_cannot_be_done(models: tuple[Path, Path], tmp_path: Path) -> None:
    done = command(*models, "--formats", "fp5", "--output", tmp_path / "out")
    assert done.returncode == 2 and not (tmp_path / "out").exists()
    assert done.stderr.startswith("error: precision 'fp5' is unknown; use ")
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(InputError, match="group 256 does not divide the 64 inputs"):
        forecast_pair(*models, ["q4_k"], {})


def test_without_formats_those_that_fit_are_taken_and_the_others_named(
    models: tuple[Path, Path],
) -> None:
    fit, left_out = split(models[0], FORMATS)
    assert set(fit) == {"int8", "nf4", "fp4", "q8_0", "q4_0", "iq4_nl", "mxfp4", "nvfp4"}
    assert len(fit) + len(left_out) == len(FORMATS)
    text = markdown(forecast_pair(*models, ["nf4"], {}), left_out)
    assert "* Left out: precision 'q4_k': group 256 does not divide the 64 inputs" in text


def test_what_has_no_number(models: tuple[Path, Path]) -> None:
    (row,) = forecast_pair(models[0], models[0], ["nf4"], {})
    assert row.verdict == "nothing moved" and row.moved == 0
    assert "| undefined | undefined | undefined | nothing moved |".replace(" ", "") in markdown(
        [row]
    ).replace(" ", "")
    assert "|>99|" in markdown([row._replace(ratio=float("inf"))]).replace(" ", "")


def row(name: str, bits: float, word: Verdict, cosine: float = 0.5) -> Forecast:
    return Forecast(name, bits, 0.2, 0.1, 2.0, 0.9, cosine, word)


def test_a_repair_has_few_bits_more_and_arrives_the_best_first() -> None:
    found = [
        row("fp4", 4.5, "lost"),
        row("rtn3g64m", 3.25, "amplified", 0.9),  # no level at zero, but it amplifies
        row("q4_k", 4.5, "arrives", 0.4),
        row("q5_k", 5.0, "arrives", 0.6),
        row("q6_k", 5.01, "arrives", 0.9),  # too many bits
        row("nf4", 4.5, "on the edge", 0.9),
        row("q4_0", 4.5, "amplified", 0.9),
        row("q3_k", 3.4375, "lost", 0.9),
        row("q2_k", 2.625, "lost", 0.9),
    ]
    fp4, q2_k = repairs(found, ["fp4", "q2_k"])
    assert [one.format for one in fp4.instead] == ["q5_k", "q4_k", "rtn3g64m"]
    assert q2_k == (found[-1], [])
    text = repair_markdown([fp4, q2_k]).replace(" ", "")
    assert "|FP4|4.50|Q5_K|5.00|0.90|0.60|arrives|" in text
    assert "|Q2_K|2.62|noneofthoseknown|" in text
    assert candidates(found)[-3:] == ["nvfp4", "rtn2g64m", "rtn4g64m"]
    assert repairs(found[2:4], FORMATS) == [] and candidates(found[2:4]) == []


def test_the_command_repairs(models: tuple[Path, Path], tmp_path: Path) -> None:
    """A grid whose border lies at zero takes what the bin around zero lost."""
    done = command(*models, "--formats", "rtn3g64", "--repair", "--output", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    first, proposal = done.stdout.split("Repair:")
    assert "mid-rise" not in first
    (found,) = [line.split("|")[1:-1] for line in proposal.splitlines() if "RTN3" in line]
    assert [cell.strip() for cell in found[:4]] == ["RTN3 g64", "3.25", "RTN3 g64 mid-rise", "3.25"]
    assert found[-1].strip() == "arrives"
    assert done.stdout.strip() == (tmp_path / "out/forecast.md").read_text().strip()
