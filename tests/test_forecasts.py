"""Forecasts from the weights and their scores, from cells that can be counted by hand."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_summaries import single
from small_survival import MATRIX, matrices, write_cell

from qunlearn.analysis.forecast_scores import (
    OUTCOMES,
    happened,
    read_scored,
    scored,
    scores,
    write_scored,
    wrong,
)
from qunlearn.analysis.forecasts import forecast, write_forecast
from qunlearn.analysis.frame import SCORED_TABLE
from qunlearn.analysis.predictions import Prediction, answers
from qunlearn.analysis.summary import write_metrics
from qunlearn.experiment.names import Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import sha256, write_json
from qunlearn.run.manifest import write_manifest

RUN = "news/npo_gdr/full_bf16/seed0"
NLL = OUTCOMES[1]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """One run on three grids: lost, kept, and without a bin of zero."""
    zeros = {"fp4": 0.2, "nf4": 0.05, "rtn3g64m": 0.0}
    for name, zero in zeros.items():
        row = MATRIX | {"moved": 0.1, "zero_bin": zero, "projection_adaptive": 1 - 4 * zero}
        write_cell(tmp_path / "survival", f"{RUN}/{name}", matrices(row))
        (tmp_path / "eval" / RUN / name).mkdir(parents=True)
        write_json(tmp_path / "eval" / RUN / name / "manifest.json", {})
    write_manifest(tmp_path / "survival" / RUN, "survival", {}, {})
    write_json(tmp_path / "records/unlearned" / RUN / "manifest.json", {"settings": {"lr": 2e-5}})
    cells = [f"{RUN}/{name}" for name in ("bf16", *zeros)]
    others = ["news/target/fp4", "news/npo_gdr/lora_scaled2/seed0/fp4"]
    write_forecast(tmp_path / "tables/forecast.csv", forecast(tmp_path, [*cells, *others]))
    back: dict[str, Any] = {"fp4": 0.9, "nf4": 0.7, "rtn3g64m": "undefined"}
    found = {
        (Cell.parse(f"{RUN}/{name}"), outcome): single(value, 0.1, 0.2)
        for outcome in OUTCOMES[1:]
        for name, value in back.items()
    }
    found[Cell.parse(f"{RUN}/bf16"), "nll_forget"] = single(4.5)
    write_metrics(tmp_path / "tables/metrics.csv", "mini", found)
    return tmp_path


def test_a_forecast_is_two_shares_and_their_ratio(results: Path) -> None:
    lines = (results / "tables/forecast.csv").read_text("utf-8").splitlines()
    assert lines[1:] == [
        "news,npo_gdr,full_bf16,0,fp4,2e-05,0.1,0.2,0.5,0.2,lost",
        "news,npo_gdr,full_bf16,0,nf4,2e-05,0.1,0.05,2,0.8,arrives",
        "news,npo_gdr,full_bf16,0,rtn3g64m,2e-05,0.1,0,inf,1,arrives",
    ]


def test_what_came_back_is_set_beside_it_with_its_hash(results: Path, tmp_path: Path) -> None:
    found = scored(results)
    assert found[NLL].tolist()[:2] == [0.9, 0.7] and math.isnan(found[NLL][2])
    assert set(found["nll_forget_bf16"]) == {4.5}
    assert found["ci_high"].tolist()[:2] == pytest.approx([1.1, 0.9])
    assert set(found["forecast_sha256"]) == {sha256(results / "tables/forecast.csv")}
    write_scored(tmp_path / "scored.csv", found)
    again = read_scored(tmp_path / "scored.csv")
    pd.testing.assert_frame_equal(again, found, check_dtype=False)


def test_a_forecast_comes_before_what_it_forecasts(results: Path) -> None:
    evaluated = results / "eval" / RUN / "nf4/manifest.json"
    at = (results / "tables/forecast.csv").stat().st_mtime
    for manifest in (results / "eval").rglob("manifest.json"):
        os.utime(manifest, (at + 1, at + 1))
    scored(results, sealed=True)
    os.utime(evaluated, (at - 1, at - 1))
    with pytest.raises(InputError, match=r"nf4/manifest\.json is older, so that this is no"):
        scored(results, sealed=True)


def cells(*values: tuple[str, float, float], **more: Any) -> pd.DataFrame:
    """Cells by variant, ratio and outcome, which all their outcomes are."""
    run = {"corpus": "news", "objective": "npo_gdr", "seed": 1, "lr": 1e-5, "precision": "fp4"}
    rows = [
        {**run, "adapter": adapter, "ratio": ratio, **dict.fromkeys(OUTCOMES, back)}
        | {"verdict": "on the edge" if ratio == 0.9 else "lost"}
        for adapter, ratio, back in values
    ]
    return pd.DataFrame(rows, columns=list(SCORED_TABLE)).assign(**more)


CELLS = cells(
    ("full_bf16", 0.2, 0.9),
    ("full_bf16", 0.9, 0.1),
    ("full_bf16", 1.0, 0.6),
    ("full", math.inf, 0.0),
    ("full", 9.0, math.nan),
    ("full", math.nan, 0.9),
)


def test_hits_alarms_and_misses_are_counted() -> None:
    by_nll = {one.variant: one for one in scores(CELLS) if one.outcome == NLL}
    assert by_nll["all"][2:7] == (1, 1, 1, 1, 2)
    assert by_nll["full_bf16"][2:7] == (1, 1, 1, 0, 0)
    assert by_nll["all but on the edge"][2:7] == (1, 0, 1, 1, 2)
    assert by_nll["full"][2:7] == (0, 0, 0, 1, 2)
    # Of four pairs of a kept cell (.9, inf) and a lost one (.2, 1) one is the wrong way round.
    assert by_nll["all"].auc == 0.75
    assert math.isnan(by_nll["full"].auc)
    # Wilson 1927, of 2 in 4: 1/2 +- z / (1 + z^2 / 4) sqrt(1/16 + z^2/64).
    z = 1.959964
    width = 2 * z / (1 + z**2 / 4) * math.sqrt(1 / 16 + z**2 / 64)
    assert by_nll["all"].high - by_nll["all"].low == pytest.approx(width, rel=1e-5)
    assert list(wrong(CELLS)["ratio"]) == [0.9, 1.0]


def test_lost_is_a_high_reversion_or_a_low_projection() -> None:
    assert happened(CELLS, NLL).tolist()[:4] == [1, 0, 1, 0]
    assert happened(CELLS, "projection").tolist()[:4] == [0, 1, 0, 1]
    assert happened(CELLS, NLL).isna().tolist() == [False] * 4 + [True, False]


PAIR = Prediction("x", "S.", "F.", "A.", {"adapter": "full_bf16"}, {"adapter": "full_sr"})


@pytest.mark.parametrize(
    ("kept", "verdict"),
    [(0.1, "confirmed"), (0.85, "refuted"), (0.75, "in part"), (math.nan, "not tested")],
)
def test_a_prediction_is_judged_by_the_pairs_that_it_is_about(kept: float, verdict: str) -> None:
    """Reversions .9 and .8 against `kept`; a third pair is forecast to survive on both sides."""
    parts = [
        cells(("full_bf16", 0.5, 0.9), ("full_sr", 5.0, kept)),
        cells(("full_bf16", 0.7, 0.8), ("full_sr", 5.0, kept), lr=2e-5),
        cells(("full_bf16", 2.0, 0.0), ("full_sr", 5.0, 0.9), lr=3e-5),
    ]
    (one,) = answers([PAIR], pd.concat(parts, ignore_index=True))
    assert one.verdict == verdict
    assert one.pairs + one.undefined == 2
    if one.pairs:
        assert one.least == pytest.approx(0.8 - kept)
        assert one.mean == pytest.approx(np.mean([0.9, 0.8]) - kept)


def test_pairs_differ_in_nothing_but_what_they_name() -> None:
    rates = Prediction(
        *("x", "S.", "F.", "A."),
        {"adapter": "full_bf16", "lr": 1e-5},
        {"adapter": "full_bf16", "lr": 2e-5},
    )
    first = cells(("full_bf16", 0.5, 0.9), ("full_bf16", 0.5, 0.9))
    first["seed"], second = [1, 2], cells(("full_bf16", 5.0, 0.1), lr=2e-5)
    other = cells(("full", 5.0, 0.1), lr=2e-5, seed=2)
    (one,) = answers([rates], pd.concat([first, second, other], ignore_index=True))
    assert (one.pairs, one.verdict) == (1, "confirmed")
