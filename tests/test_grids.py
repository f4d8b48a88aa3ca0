"""Grids: their points, the names of these, and what is refused before any work."""

import dataclasses
import re
from typing import Any

import pytest
import yaml

from qunlearn.experiment.config import resolve
from qunlearn.experiment.sweep import SweepRun, splits_questions, swept_cells, training_runs
from qunlearn.experiment.sweep_grids import grid_of, points
from qunlearn.report.footnotes import footnotes
from qunlearn.run.errors import InputError
from qunlearn.settings.unlearning import UnlearnSettings

SETTINGS = dataclasses.asdict(UnlearnSettings(lr=1e-5, epochs=3, rank=8, lora_alpha=5.0))
PAPER = {
    "rank": [16, 64],
    "alpha_over_rank": [0.5, 2],
    "lr": [1e-4, 7e-4],
    "targets": ["qv"],
    "alpha": [0.1],
    "epochs": [10, 5],
}


def test_points_in_the_order_of_the_grid() -> None:
    found = points(PAPER, SETTINGS)
    assert [point.name for point in found] == [
        "r16-a8-lr1e-4-qv-w0.1",
        "r16-a8-lr7e-4-qv-w0.1",
        "r16-a32-lr1e-4-qv-w0.1",
        "r16-a32-lr7e-4-qv-w0.1",
        "r64-a32-lr1e-4-qv-w0.1",
        "r64-a32-lr7e-4-qv-w0.1",
        "r64-a128-lr1e-4-qv-w0.1",
        "r64-a128-lr7e-4-qv-w0.1",
    ]
    assert found[5].settings == SETTINGS | {
        "rank": 64,
        "lora_alpha": 32.0,
        "lr": 7e-4,
        "targets": "qv",
        "alpha": 0.1,
        "epochs": 10.0,
    }
    assert found[5].snapshots == (5.0, 10.0)
    assert found[5].candidates[0] == "r64-a32-lr7e-4-qv-w0.1/epoch5"


def test_the_order_of_the_keys_has_no_part_in_it() -> None:
    assert points(dict(reversed(PAPER.items())), SETTINGS) == points(PAPER, SETTINGS)


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
    assert points({"alpha_over_rank": [2]}, SETTINGS)[0].settings["lora_alpha"] == 16.0


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
    assert [(run.objective, run.adapter, run.seed, run.point) for run in found] == [
        ("ga", "full", 0, "w3"),
        ("ga", "full", 7, "w3"),
        ("npo_gdr", "full", 0, "w3"),
        ("npo_gdr", "full", 7, "w3"),
        ("npo_gdr", "lora", 0, "r2"),
        ("npo_gdr", "lora", 0, "r4"),
        ("npo_gdr", "lora", 7, "r2"),
        ("npo_gdr", "lora", 7, "r4"),
    ]
    own = dataclasses.asdict(UnlearnSettings(lr=2e-5, rank=4, epochs=10.0))
    assert found[5] == SweepRun("news", "npo_gdr", "lora", 0, "r4", own, (5.0, 10.0))
    assert swept_cells(config) == ["news/ga/full", "news/npo_gdr/full", "news/npo_gdr/lora"]
    assert splits_questions(config)
    assert not splits_questions(resolved(EXPERIMENT + "selection: {questions: test}"))


def test_nothing_is_swept_or_split_by_default() -> None:
    config = resolved("{}")
    assert training_runs(config) == swept_cells(config) == []
    assert not splits_questions(config)


def test_the_footer_names_the_layers_under_lora() -> None:
    notes = footnotes(resolved("unlearn: {adapters: [lora], settings: {targets: qv}}"))
    assert notes[0].startswith("LoRA on queries and values: rank 16, ")


def test_the_footer_states_no_settings_that_are_chosen_later() -> None:
    lora = [note for note in footnotes(resolved(EXPERIMENT)) if note.startswith("LoRA")]
    assert len(lora) == 1  # ga's, which is not swept
    everywhere = (
        EXPERIMENT + 'selection: {rule: fixed, fixed: {"*": r2/epoch5, "*/full": w3/epoch5}}'
    )
    assert len(footnotes(resolved(everywhere))) == len(footnotes(resolved(EXPERIMENT)))


BAD = {
    "unknown setting": (
        'sweep: {"*/*/lora": {ranks: [1]}}',
        "'sweep.*/*/lora.ranks' is unknown; did you mean 'rank'?",
    ),
    "not a list": (
        'sweep: {"*/*/lora": {rank: 4}}',
        "'sweep.*/*/lora.rank': 4 should be a valid list",
    ),
    "number as text": (
        'sweep: {"*/*/lora": {lr: [1e-4]}}',
        "'sweep.*/*/lora.lr.0': '1e-4' should be",
    ),
    "unknown layers": (
        'sweep: {"*/*/lora": {targets: [mlp]}}',
        "'sweep.*/*/lora.targets.0': 'mlp' should be 'all', 'qv' or 'odu'",
    ),
    "value twice": (
        'sweep: {"*/*/lora": {rank: [4, 4]}}',
        "'sweep.*/*/lora.rank': 4 is there twice",
    ),
    "no such cell": (
        'sweep: {"*/npo_gdr/lorra": {rank: [4]}}',
        "'sweep': '*/npo_gdr/lorra' can match no run; runs are named like news/npo_gdr/lora",
    ),
    "LoRA's setting": (
        'sweep: {"*/*/*": {lr: [1.0], rank: [4]}}',
        "'sweep': rank is a setting of LoRA but is swept in news/npo_gdr/full; narrow the pattern",
    ),
    "one name": (
        'sweep: {"*/*/lora": {alpha: [1.0000001, 1.0000002]}}',
        "'sweep': two points of news/npo_gdr/lora have the name w1; names keep six digits",
    ),
    "unknown rule": ("selection: {rule: best}", "'selection.rule': 'best' should be 'muse', 'par"),
    "whole share": ("selection: {share: 1}", "'selection.share': 1 should be less than 1"),
    "nothing named": (
        '{sweep: {"*/*/lora": {rank: [4]}}, selection: {rule: fixed}}',
        "'selection.fixed': no candidate is named for news/npo_gdr/lora; name one, such as "
        "r4/epoch5,",
    ),
    "near miss": (
        '{sweep: {"*/*/lora": {rank: [4, 8], epochs: [5, 9]}}, '
        'selection: {rule: fixed, fixed: {"*": r8/epoch10}}}',
        "'selection.fixed': 'r8/epoch10' is no candidate of news/npo_gdr/lora; near it: r8/epoch",
    ),
    "named nowhere": (
        '{selection: {fixed: {"*/*/lroa": r8/epoch10}}}',
        "'selection.fixed': '*/*/lroa' can match no run",
    ),
    "controls": (
        '{controls: true, sweep: {"*/*/full": {lr: [1.0e-4]}}}',
        "'controls': full_matched is trained with full's settings, but those of news/npo_gdr/full",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_grid_is_refused_in_one_line(name: str) -> None:
    text, expected = BAD[name]
    with pytest.raises(InputError) as caught:
        resolved(text)
    message = str(caught.value)
    assert message.startswith("config key " + expected)
    assert "\n" not in message
