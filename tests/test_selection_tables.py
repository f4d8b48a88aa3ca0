"""From the answers of candidates to a choice on disk, its sentences, its table and its model."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_corpora import run_script
from small_text import unpadded
from test_manifest import cut, made

from qunlearn.analysis.selection.choice import (
    Rule,
    Selection,
    choose,
    gather,
    link_folder,
    read,
    reference,
    write,
)
from qunlearn.analysis.selection.listing import WARNING, notes, write_table
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json

CELL = "news/npo_gdr/lora"


def answers(**models: tuple[float, ...] | None) -> dict[str, Any]:
    """Of a file: KnowMem, Utility and forget NLL (2) of each model; None: it diverged."""
    items = {"knowmem": [{}] * 3, "utility": [{}] * 4}
    names = ("knowmem", "utility", "nll_forget")
    return {
        name: {"status": "ok", **dict(zip(names, (*scores, 2.0), strict=False)), "items": items}
        if scores
        else {"status": "diverged"}
        for name, scores in models.items()
    }


def test_candidates_are_means_over_the_seeds_that_did_not_diverge() -> None:
    seeds = {
        "r2": [answers(epoch5=(40, 70), epoch10=(10, 50)), answers(epoch5=(20, 60), epoch10=None)],
        "r4": [answers(epoch5=None, epoch10=None), answers(epoch5=None, epoch10=None)],
    }
    found = gather(["r4", "r2"], seeds)
    assert found["name"].tolist() == ["r4/epoch5", "r4/epoch10", "r2/epoch5", "r2/epoch10"]
    assert found["epochs"].tolist() == [5, 10, 5, 10]
    assert found["knowmem"].isna().tolist() == [True, True, False, False]
    scores = found[["knowmem", "utility", "nll_forget"]].to_numpy()
    assert scores[2:].tolist() == [[30, 65, 2], [10, 50, 2]]
    assert found["seeds"].tolist() == [2] * 4
    assert found["diverged"].tolist() == [2, 2, 0, 1]


def test_references_are_means_over_their_seeds_and_may_not_diverge() -> None:
    one, other = answers(seed0=(10, 50)), answers(seed1=(30, 60))
    means = {"knowmem": 20, "utility": 55, "nll_forget": 2}
    assert reference("retrain", [one, other]) == means
    with pytest.raises(InputError, match="retrain diverged"):
        reference("retrain", [one, answers(seed1=None)])


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Answers of target (80, 60), retrain (20, 55), and of two trainings of two seeds."""
    found = {
        "target.json": answers(target=(80, 60)),
        "retrain.json": answers(retrain=(20, 55)),
        "cell/seed0/r2.json": answers(epoch5=(30, 58), epoch10=(10, 40)),
        "cell/seed1/r2.json": answers(epoch5=(20, 58), epoch10=(20, 42)),
        "cell/seed0/r4.json": answers(epoch5=(20, 50), epoch10=(0, 20)),
        "cell/seed1/r4.json": answers(epoch5=(20, 50), epoch10=None),
    }
    for path, models in found.items():
        write_json(tmp_path / path, {"models": models})
        for epoch in models if path.startswith("cell") else ():
            made(tmp_path / path.removesuffix(".json") / epoch)
    return tmp_path


def select(folder: Path, *arguments: str, rule: Rule = "muse", code: int = 0) -> str:
    return run_script(
        "select_candidate.py",
        f"--cell={CELL}",
        f"--answers={folder / 'cell'}",
        f"--trainings={folder / 'cell'}",
        *("--models", str(folder / "taken0"), str(folder / "taken1")),
        *("--points", "r2", "r4", "--seeds", "0", "1"),
        f"--target={folder / 'target.json'}",
        f"--retrain={folder / 'retrain.json'}",
        f"--rule={rule}",
        "--questions=split",
        f"--output={folder / 'choice.json'}",
        *arguments,
        code=code,
    ).stderr


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("muse", "r4/epoch5"),  # at or below 20: r2 after 10 (15, 41), r4 after 5 (20, 50)
        ("pareto", "r4/epoch5"),  # (20, 50): 22.4 from (0, 60); (25, 58): 25.1; (15, 41): 24.2
        ("fixed", "r2/epoch10"),
    ],
)
def test_the_script_chooses_by_the_rule(experiment: Path, rule: Rule, expected: str) -> None:
    select(experiment, "--named=r2/epoch10", rule=rule)
    found = read(experiment / "choice.json")
    assert (found.chosen, found.rule, found.asked) == (expected, rule, {"forget": 3, "retain": 4})
    assert (found.target["knowmem"], found.retrain["utility"]) == (80, 55)
    for seed in (0, 1):
        chosen, taken = experiment / f"cell/seed{seed}/{expected}", experiment / f"taken{seed}"
        names = {path.relative_to(chosen) for path in chosen.rglob("*")}
        assert {path.relative_to(taken) for path in taken.rglob("*")} == names
        assert (taken / "model.safetensors").samefile(chosen / "model.safetensors")  # no copy


def test_the_script_takes_no_candidate_that_is_damaged_or_missing(experiment: Path) -> None:
    cut(experiment / "cell/seed1/r4/epoch5/model.safetensors")
    assert "r4/epoch5/model.safetensors: 999 bytes instead of 1000" in select(experiment, code=2)
    shutil.rmtree(experiment / "cell/seed1/r4/epoch5")
    assert "r4/epoch5: the chosen candidate is missing" in select(experiment, code=2)
    assert not (experiment / "choice.json").exists()


def selection(rule: Rule = "muse", retrain: float = 20.0, **changes: Any) -> Selection:
    none = {"epoch10": None}
    seeds = {
        "r2": [answers(epoch1=(30, 58, 1.25), epoch10=(15, 41, 2.5))],
        "r4": [answers(epoch1=(16, 40), **none), answers(epoch1=None, **none)],
    }
    arguments: dict[str, Any] = {
        "cell": CELL,
        "rule": rule,
        "questions": "split",
        "named": "r2/epoch1",
        "asked": {"forget": 30, "retain": 29},
        "target": {"knowmem": 80.0, "utility": 60.0, "nll_forget": 0.1},
        "retrain": {"knowmem": retrain, "utility": 55.0, "nll_forget": 4.0},
        "candidates": gather(["r2", "r4"], seeds),
    }
    return choose(**arguments | changes)


def test_a_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a.json", selection())
    again, own = vars(read(tmp_path / "a.json")), vars(selection())
    assert again.pop("candidates").equals(own.pop("candidates"))
    assert again == own
    assert "NaN" not in (tmp_path / "a.json").read_text("utf-8")


def test_sentences_say_what_was_chosen_how_and_on_what() -> None:
    assert notes([]) == []
    assert notes([selection()]) == [
        "NEWS, NPO+GDR, LoRA: r2 after 10 epochs, chosen by MUSE's rule among 4 candidates.",
        "Settings were chosen on questions that are not in this table: NEWS 30 on forget and 29 "
        "on retain.",
    ]
    other = selection(cell="news/ga/full", retrain=0.0)
    assert notes([selection(), other])[1:] == [
        "NEWS, GA, FT (fp32 masters): r2 after 10 epochs, chosen by MUSE's rule among 4 candidates "
        "(no candidate's forget KnowMem is at or below retrain's, 0.0; this one's, 15.0, is the "
        "lowest).",
        notes([selection()])[1],
    ]
    assert notes([selection(questions="test")])[-1] == WARNING
    assert notes([selection("fixed", questions="test")]) == [
        "NEWS, NPO+GDR, LoRA: r2 after 1 epoch, named in the configuration among 4 candidates."
    ]


def test_the_table_has_every_candidate(tmp_path: Path) -> None:
    write_table([selection(), selection(cell="books/ga/full")], tmp_path)
    rows = (tmp_path / "candidates.csv").read_text("utf-8").splitlines()
    cell = "news,npo_gdr,lora"
    assert rows[:7] == [
        "corpus,objective,adapter,point,epochs,knowmem,utility,nll_forget,"
        "n_forget,n_retain,seeds,diverged,front,chosen",
        f"{cell},target,,80,60,0.1,30,29,,,,",
        f"{cell},retrain,,20,55,4,30,29,,,,",
        f"{cell},r2,1,30,58,1.25,30,29,1,0,yes,no",
        f"{cell},r2,10,15,41,2.5,30,29,1,0,yes,yes",
        f"{cell},r4,1,16,40,2,30,29,2,1,no,no",
        f"{cell},r4,10,,,,30,29,2,2,no,no",
    ]
    assert len(rows) == 1 + 2 * (2 + 4) and rows[7].startswith("books,ga,full,target,,")
    lines = unpadded((tmp_path / "candidates.md").read_text("utf-8")).splitlines()
    assert lines[5] == "| NEWS | NPO+GDR | LoRA | r2 after 10 epochs | ✓ | ✓ | 15.0 | 41.0 | 2.50 |"
    assert "| r4 after 1 epoch (1 of 2 diverged) |" in lines[6]
    assert lines[7].endswith("| diverged | diverged | diverged |")
    notes_below = [line for line in lines if line.startswith("* ")]
    assert notes_below[0].startswith("* NEWS, NPO+GDR, LoRA: r2 after 10 epochs, chosen by MUSE's")
    assert "* Questions: NEWS 30 on forget and 29 on retain;" in notes_below[2]


def test_it_is_copied_where_the_disk_has_no_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError("not on this disk")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/weights").write_bytes(b"1")
    link_folder(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b/weights").read_bytes() == b"1"
    assert not (tmp_path / "b/weights").samefile(tmp_path / "a/weights")
