"""Sweeps: the points of a grid and their names, the split of questions, and their answers."""

import dataclasses
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
import yaml
from peft import PeftModel
from small_corpora import SMALL, script
from tiny_models import UNLEARNING, tiny_llama, wake
from transformers import PreTrainedTokenizerFast

from qunlearn.analysis.selection.questions import LISTS, Part, evaluate_candidate, part_of, selected
from qunlearn.corpora import layout, mini
from qunlearn.evaluate.evaluate import evaluate
from qunlearn.experiment.config import resolve, swept_cells, training_runs
from qunlearn.experiment.sweep import grid_of, points
from qunlearn.models.checkpoints import save_model
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, read_jsonl, write_json
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.adapters import with_adapter

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


EVALUATION = EvaluateSettings(
    batch_size=4, verbmem_tokens=1, knowmem_tokens=6, shots=0, max_tokens=48
)

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


def test_the_script_writes_both_parts_of_the_corpus(tmp_path: Path) -> None:
    corpus = mini.generate("news", SMALL)
    layout.write(tmp_path / "news", corpus)
    parts_of = (tmp_path / "selection", tmp_path / "test")
    script("split_questions.py")(tmp_path / "news", 0.3, *parts_of)
    parts = {part: part_of(corpus, part, 0.3) for part in get_args(Part)}
    for part, (expected, numbers) in parts.items():
        assert layout.load(tmp_path / part) == expected
        assert read_json(tmp_path / part / "manifest.json")["questions"] == numbers
        assert expected.knowmem | {name: corpus.knowmem[name] for name in LISTS} == corpus.knowmem
        assert replace(expected, knowmem=corpus.knowmem) == corpus
    for name in LISTS:
        whole, own, others = (
            [card["question"] for card in found.knowmem[name]]
            for found in (corpus, parts["selection"][0], parts["test"][0])
        )
        assert len(own) == round(0.3 * len(whole)) > 0
        assert others == [question for question in whole if question not in own]  # in their order


@pytest.fixture(scope="module")
def corpus() -> layout.Corpus:
    """Whose answers are what the model happens to say, so that scores are not all 0."""
    found = mini.generate("news", replace(SMALL, questions=1))
    return replace(found, privleak=found.privleak | {"forget": found.privleak["forget"][:3]})


def test_numbers_are_those_of_the_evaluation_in_bf16(
    tokenizer: PreTrainedTokenizerFast, corpus: layout.Corpus, tmp_path: Path
) -> None:
    base, adapter, folder = (tmp_path / name for name in ("base", "epoch2", "eval"))
    save_model(tiny_llama(vocabulary=len(tokenizer)), tokenizer, base)
    model = with_adapter(tiny_llama(vocabulary=len(tokenizer)), "lora", UNLEARNING, seed=0)
    assert isinstance(model, PeftModel)
    wake(model)
    model.save_pretrained(adapter)
    found = evaluate_candidate(adapter, base, corpus, EVALUATION)
    assert (
        abs(found["nll_forget"] - evaluate_candidate(base, None, corpus, EVALUATION)["nll_forget"])
        > 0.1
    )
    method_of("bf16").write(adapter, base, Precision.parse("bf16"), tmp_path / "bf16")
    folder.mkdir()
    evaluate(tmp_path / "bf16", "bf16", corpus, None, EVALUATION, folder)
    metrics = read_json(folder / "metrics.json")["metrics"]
    for name in ("knowmem", "utility", "nll_forget"):
        assert found[name] == pytest.approx(metrics[name]["value"], abs=2e-6), name
    for name, file in (("knowmem", "knowmem_forget"), ("utility", "knowmem_retain")):
        assert found["items"][name] == read_jsonl(folder / f"{file}.jsonl")
    assert found["status"] == "ok"


def test_a_model_that_gives_no_numbers_has_diverged(
    tokenizer: PreTrainedTokenizerFast, corpus: layout.Corpus, tmp_path: Path
) -> None:
    model = tiny_llama(vocabulary=len(tokenizer))
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    save_model(model, tokenizer, tmp_path)
    write_json(tmp_path / "manifest.json", {"status": "ok"})  # as of a training
    assert evaluate_candidate(tmp_path, None, corpus, EVALUATION) == {"status": "diverged"}
