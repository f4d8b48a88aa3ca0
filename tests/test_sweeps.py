"""Sweeps: the points of a grid, the questions, their answers; and a grid on the tiny experiment."""

import dataclasses
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from conftest import Snakemake
from small_corpora import SMALL
from small_workflow import TINY, planned, run_on

from qunlearn.analysis.selection.choice import read
from qunlearn.analysis.selection.questions import LISTS, Part, evaluate_candidate, part_of, selected
from qunlearn.corpora import layout, mini
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve, swept_cells, training_runs
from qunlearn.experiment.sweep import grid_of, points
from qunlearn.models.checkpoints import load_model, load_tokenizer, save_model
from qunlearn.report.candidates import notes
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, read_jsonl, write_json
from qunlearn.settings.evaluation import EvaluateSettings
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
def test_names(grid: dict[str, list[Any]], names: list[str], snapshots: tuple[float, ...]) -> None:
    found = points(grid, SETTINGS)
    assert [point.name for point in found] == names
    assert all(re.fullmatch(r"[A-Za-z0-9.-]+", point.name) for point in found)
    assert {point.snapshots for point in found} == {snapshots}
    if grid == {"rank": [4]}:  # alone it leaves LoRA's alpha as it is
        assert found[0].settings["lora_alpha"] == 5.0


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
    assert training_runs(resolved("{}")) == swept_cells(resolved("{}")) == []


# --- The questions that a choice is made on ------------------------------------------------------

QUESTIONS = [f"Who is number {index}?" for index in range(20)]


def chosen(questions: list[str], share: float) -> set[str]:
    return {questions[index] for index in selected(questions, share, "a")}


def test_a_share_to_the_nearest_whole_number_leaves_no_part_empty() -> None:
    for share, count in ((0.3, 6), (0.025, 1), (0.974, 19)):
        assert len(selected(QUESTIONS, share, "a")) == count
    for share, questions in ((0.024, QUESTIONS), (0.99, QUESTIONS), (0.5, ["one?"])):
        with pytest.raises(InputError, match=r"knowmem/a\.json: a share of .*selection\.share"):
            selected(questions, share, "a")


def test_the_draw_is_by_the_text_alone() -> None:
    # Written down once: another draw would mix what was chosen on with what is reported.
    assert selected(QUESTIONS, 0.2, "a") == [0, 7, 8, 19]
    assert chosen(QUESTIONS, 0.2) == chosen(QUESTIONS[::-1], 0.2)
    assert chosen(QUESTIONS, 0.2) < chosen(QUESTIONS, 0.4)
    # A question that stands twice is on one side.
    doubled = QUESTIONS + QUESTIONS
    assert chosen(doubled, 0.3) == chosen(QUESTIONS, 0.3)
    assert len(selected(doubled, 0.3, "a")) == 12
    assert chosen(doubled, 0.265) == chosen(QUESTIONS, 0.265)  # 5 of 20, not 11 of 40


def test_both_parts_of_the_corpus() -> None:
    corpus = mini.generate("news", SMALL)
    parts = {part: part_of(corpus, part, 0.3)[0] for part in get_args(Part)}
    for expected in parts.values():
        assert expected.knowmem | {name: corpus.knowmem[name] for name in LISTS} == corpus.knowmem
        assert replace(expected, knowmem=corpus.knowmem) == corpus
    for name in LISTS:
        whole, own, others = (
            [card["question"] for card in found.knowmem[name]]
            for found in (corpus, parts["selection"], parts["test"])
        )
        assert len(own) == round(0.3 * len(whole)) > 0
        assert others == [question for question in whole if question not in own]  # in their order


# --- On the tiny experiment: what is trained, asked, chosen, reported, and what runs again -----


def test_numbers_are_those_of_the_evaluation_in_bf16(tiny_run: Path, tmp_path: Path) -> None:
    results, lora = tiny_run / "results/tiny", "news/npo_klr/lora/seed0"
    base, corpus = results / "models/news/target", layout.load(results / "data/news")
    settings = EvaluateSettings(**configfiles.read([Path(TINY[1])])["evaluate"])
    found = evaluate_candidate(results / "unlearned" / lora, base, corpus, settings)
    folder = results / "eval" / lora / "bf16"
    metrics = read_json(folder / "metrics.json")["metrics"]
    for name in ("knowmem", "utility", "nll_forget"):
        assert found[name] == pytest.approx(metrics[name]["value"], abs=2e-6), name
    for name, file in (("knowmem", "knowmem_forget"), ("utility", "knowmem_retain")):
        assert found["items"][name] == read_jsonl(folder / f"{file}.jsonl")
    assert found["status"] == "ok"
    model = load_model(base, torch.float32)
    model.lm_head.weight.data.fill_(torch.nan)  # it gives no numbers
    save_model(model, load_tokenizer(base), tmp_path)
    write_json(tmp_path / "manifest.json", {"status": "ok"})  # as of a training
    assert evaluate_candidate(tmp_path, None, corpus, settings) == {"status": "diverged"}


GRID = {"*/*/lora": {"rank": [2, 4], "targets": ["qv"], "epochs": [2, 4]}}
SWEPT: dict[str, Any] = {
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
    return run_on(snakemake, tiny_run, folder, SWEPT, *REPORTS)


def questions(path: Path) -> set[str]:
    return {card["question"] for card in read_json(path)}


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
    found = planned(snakemake, tmp_path, tmp_path, SWEPT | change)
    of_sweep = found.keys() & {"unlearn", *FRESH["two seeds"][1]}
    assert {rule: found[rule] for rule in of_sweep} == expected


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
    assert planned(snakemake, run, run, SWEPT | change, *REPORTS) == expected


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
    assert choice["target"]["nll_forget"] < choice["retrain"]["nll_forget"]
    table = (results / "tables/main.md").read_text(encoding="utf-8")
    for note in notes([read(results / f"selection/{CELL}.json")]):
        assert f"\n* {note}\n" in table
    taken = results / f"unlearned/{CELL}/seed0"
    source = results / f"sweep/{CELL}/seed0/{choice['chosen']}"
    assert (taken / "adapter_model.safetensors").samefile(source / "adapter_model.safetensors")
    kept = {file.name for file in (results / f"records/unlearned/{CELL}/seed0").iterdir()}
    assert {"manifest.json", "adapter_model.safetensors"} <= kept
    settings = read_json(taken / "manifest.json")["settings"]
    point, epoch = choice["chosen"].split("/")
    assert (settings["rank"], settings["targets"]) == (int(point[1]), "qv")
    assert settings["epochs"] == float(epoch.removeprefix("epoch"))
