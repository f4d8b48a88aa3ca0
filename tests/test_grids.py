"""Grids: their points, the names of these, and what is refused before any work."""

import dataclasses
import re
from typing import Any

import pytest
import yaml

from qunlearn.experiment.config import resolve, splits_questions, swept_cells, training_runs
from qunlearn.experiment.sweep import grid_of, points
from qunlearn.report.footnotes import footnotes
from qunlearn.settings.unlearning import UnlearnSettings

SETTINGS = dataclasses.asdict(UnlearnSettings(lr=1e-5, epochs=3, rank=8, lora_alpha=5.0))
PAPER = {"rank": [16, 64], "alpha_over_rank": [0.5, 2], "lr": [1e-4, 7e-4], "targets": ["qv"]}
PAPER |= {"alpha": [0.1], "epochs": [10, 5]}


def test_points_in_the_order_of_the_grid() -> None:
    found = points(PAPER, SETTINGS)
    sizes = ("r16-a8", "r16-a32", "r64-a32", "r64-a128")
    names = [f"{size}-lr{lr}-qv-w0.1" for size in sizes for lr in ("1e-4", "7e-4")]
    assert [point.name for point in found] == names
    own = {"rank": 64, "lora_alpha": 32.0, "lr": 7e-4, "targets": "qv", "alpha": 0.1}
    assert found[5].settings == SETTINGS | own | {"epochs": 10.0}
    assert found[5].snapshots == (5.0, 10.0)
    assert found[5].candidates[0] == "r64-a32-lr7e-4-qv-w0.1/epoch5"
    assert points(dict(reversed(PAPER.items())), SETTINGS) == found


@pytest.mark.parametrize(
    ("grid", "names", "snapshots"),
    [
        ({"rank": [4]}, ["r4"], (3.0,)),
        ({"alpha_over_rank": [0.25, 3]}, ["a2", "a24"], (3.0,)),
        ({"lr": [1.25e-5, 0.5, 30]}, ["lr1.25e-5", "lr5e-1", "lr3e1"], (3.0,)),
        ({"alpha": [0, 1e-7, 1e9]}, ["w0", "w1e-07", "w1e09"], (3.0,)),
        ({"epochs": [4, 2.5]}, ["default"], (2.5, 4.0)),
    ],
)
def test_names_have_what_is_swept(
    grid: dict[str, list[Any]], names: list[str], snapshots: tuple[float, ...]
) -> None:
    found = points(grid, SETTINGS)
    assert [point.name for point in found] == names
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", point.name) for point in found)
    assert {point.snapshots for point in found} == {snapshots}


def test_alone_the_rank_leaves_alpha_as_it_is() -> None:
    assert points({"rank": [4]}, SETTINGS)[0].settings["lora_alpha"] == 5.0


def test_later_patterns_win_and_an_empty_list_is_not_swept() -> None:
    sweep = {
        "*/*/*": {"lr": [1e-4], "epochs": [1, 2]},
        "*/*/lora": {"rank": [2, 4], "epochs": []},
        "news/*": {"lr": [2e-4]},
    }
    assert grid_of(sweep, "news/ga/lora") == {"lr": [2e-4], "rank": [2, 4]}
    assert grid_of(sweep, "books/ga/full") == {"lr": [1e-4], "epochs": [1, 2]}
    assert grid_of({"news/*": {"lr": [1.0]}}, "books/ga/full") == {}


def resolved(text: str) -> dict[str, Any]:
    return resolve(yaml.safe_load(text))


EXPERIMENT = """
corpora: [news]
seeds: [0, 7]
unlearn: {objectives: [ga, npo_gdr], adapters: [full, lora], settings: {lr: 2.0e-5}}
sweep: {"*/npo_gdr/lora": {rank: [2, 4], epochs: [5, 10]}, "*/*/full": {alpha: [3]}}
"""


def test_trainings_one_a_point_and_seed_and_none_an_epoch() -> None:
    config = resolved(EXPERIMENT)
    found = training_runs(config)
    names = [f"{run.cell} {run.seed} {point.name}" for run, point in found]
    assert names == [
        *("news/ga/full 0 w3", "news/ga/full 7 w3"),
        *("news/npo_gdr/full 0 w3", "news/npo_gdr/full 7 w3"),
        *("news/npo_gdr/lora 0 r2", "news/npo_gdr/lora 0 r4"),
        *("news/npo_gdr/lora 7 r2", "news/npo_gdr/lora 7 r4"),
    ]
    own = dataclasses.asdict(UnlearnSettings(lr=2e-5, rank=4, epochs=10.0))
    assert (found[5][1].settings, found[5][1].snapshots) == (own, (5.0, 10.0))
    assert swept_cells(config) == ["news/ga/full", "news/npo_gdr/full", "news/npo_gdr/lora"]
    assert splits_questions(config)
    assert not splits_questions(resolved(EXPERIMENT + "selection: {questions: test}"))
    assert training_runs(resolved("{}")) == swept_cells(resolved("{}")) == []


def test_the_footer_states_no_settings_that_are_chosen_later() -> None:
    lora = [note for note in footnotes(resolved(EXPERIMENT)) if note.startswith("LoRA")]
    assert len(lora) == 1  # ga's, which is not swept
    everywhere = (
        EXPERIMENT + 'selection: {rule: fixed, fixed: {"*": r2/epoch5, "*/full": w3/epoch5}}'
    )
    assert len(footnotes(resolved(everywhere))) == len(footnotes(resolved(EXPERIMENT)))
