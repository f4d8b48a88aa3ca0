"""A grid on the tiny experiment: what is trained, chosen and reported, and what runs again."""

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Snakemake
from small_workflow import planned, run_on

from qunlearn.run.files import read_json

GRID = {"*/*/lora": {"rank": [2, 4], "targets": ["qv"], "epochs": [2, 4]}}
SETTINGS: dict[str, Any] = {
    "precisions": ["bf16"],
    "sweep": GRID,
    "selection": {"share": 0.5},
    "evaluate": {"knowmem_tokens": 4},
}
CELL = "news/npo_klr/lora"
REPORTS = (
    *("results/tiny/tables/main.md", "results/tiny/tables/candidates.md"),
    "results/tiny/figures/candidates.png",
)


@pytest.fixture(scope="module")
def results(tiny_run: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sweep")
    return run_on(snakemake, tiny_run, folder, SETTINGS, *REPORTS)


def questions(path: Path) -> set[str]:
    return {card["question"] for card in read_json(path)}


OF_SWEEP = {
    *("split_questions", "sweep", "evaluate_candidates", "evaluate_reference", "select_candidate"),
    "unlearn",
}


FRESH: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    # Two ranks, two seeds; the epochs share a training. Full and full_bf16 are not swept.
    "two seeds": (
        {"seeds": [0, 1]},
        {"split_questions": 1, "sweep": 4, "evaluate_candidates": 4, "evaluate_reference": 2}
        | {"select_candidate": 1, "unlearn": 4},
    ),
    "nothing swept": ({"sweep": {}}, {"unlearn": 3}),
}


@pytest.mark.parametrize("what", FRESH)
def test_a_job_for_each_point_and_seed(snakemake: Snakemake, tmp_path: Path, what: str) -> None:
    change, expected = FRESH[what]
    found = planned(snakemake, tmp_path, tmp_path, SETTINGS | change)
    assert {rule: count for rule, count in found.items() if rule in OF_SWEEP} == expected


TABLES = {"analyse": 1, "write_tables": 1}
CHOICE = {"select_candidate": 1, "quantize": 1, "evaluate": 1, "survival": 1, "figure": 1, **TABLES}


CHANGES: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "nothing": ({}, {}),
    "one more number of epochs: trainings, but no reference": (
        {"sweep": {"*/*/lora": {**GRID["*/*/lora"], "epochs": [2, 4, 6]}}},
        {"sweep": 2, "evaluate_candidates": 2, **CHOICE},
    ),
    "another split: whatever was evaluated on it, but no training": (
        {"selection": {"share": 0.25}},
        {
            "split_questions": 1,
            "evaluate_candidates": 2,
            "evaluate_reference": 2,
            **CHOICE,
            "evaluate": 5,
        },
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_runs_what_needs_it(results: Path, snakemake: Snakemake, what: str) -> None:
    change, expected = CHANGES[what]
    run = results.parents[1]
    assert planned(snakemake, run, run, SETTINGS | change, *REPORTS) == expected


def test_no_question_of_the_choice_is_in_the_tables(results: Path) -> None:
    choice = read_json(results / f"selection/{CELL}.json")
    folder = results / "questions/news"
    for metric, name in (("forget", "forget_qa"), ("retain", "retain_qa")):
        selection = questions(folder / f"selection/knowmem/{name}.json")
        test = questions(folder / f"test/knowmem/{name}.json")
        assert selection | test == questions(results / f"data/news/knowmem/{name}.json")
        assert not selection & test
        assert choice["evaluated"][metric] == len(selection)
        for model in ("target", "retrain", "npo_klr/full/seed0", "npo_klr/lora/seed0"):
            records = results / f"eval/news/{model}/bf16/knowmem_{metric}.jsonl"
            lines = records.read_text(encoding="utf-8").splitlines()
            assert {json.loads(line)["question"] for line in lines} == test


def test_the_chosen_candidate_is_the_cells_model(results: Path) -> None:
    choice = read_json(results / f"selection/{CELL}.json")
    names = [own["name"] for own in choice["candidates"]]
    assert names == ["r2-qv/epoch2", "r2-qv/epoch4", "r4-qv/epoch2", "r4-qv/epoch4"]
    assert choice["chosen"] in names
    taken = results / f"unlearned/{CELL}/seed0"
    source = results / f"sweep/{CELL}/seed0/{choice['chosen']}"
    ours = (source / "adapter_model.safetensors").read_bytes()
    assert (taken / "adapter_model.safetensors").read_bytes() == ours
    settings = read_json(taken / "manifest.json")["settings"]
    point, epoch = choice["chosen"].split("/")
    assert (settings["rank"], settings["targets"]) == (int(point[1]), "qv")
    assert settings["epochs"] == float(epoch.removeprefix("epoch"))
