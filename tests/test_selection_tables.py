"""From the answers of candidates to a choice on disk, its sentences, its table and its model."""

import os
from pathlib import Path
from typing import Any

import pytest
from small_corpora import run_script
from small_selections import CELL, selection

from qunlearn.analysis.selection.choice import Rule, read, write
from qunlearn.analysis.selection.links import link_folder
from qunlearn.analysis.selection.listing import as_csv, as_markdown
from qunlearn.analysis.selection.scores import Asked, Candidate, Scores, gather, reference
from qunlearn.analysis.selection.sentences import WARNING, notes
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json


def answers(**models: tuple[float, float] | None) -> dict[str, Any]:
    """Of a file: KnowMem and Utility of each model; None: it diverged."""
    items = {"knowmem": [{}] * 3, "utility": [{}] * 4}
    return {
        name: {"status": "diverged"}
        if scores is None
        else {
            "status": "ok",
            "knowmem": scores[0],
            "utility": scores[1],
            "nll_forget": 2.0,
            "items": items,
        }
        for name, scores in models.items()
    }


def test_candidates_are_means_over_the_seeds_that_did_not_diverge() -> None:
    seeds = {
        "r2": [answers(epoch5=(40, 70), epoch10=(10, 50)), answers(epoch5=(20, 60), epoch10=None)],
        "r4": [answers(epoch5=None, epoch10=None), answers(epoch5=None, epoch10=None)],
    }
    assert gather(["r4", "r2"], seeds) == [
        Candidate("r4", "epoch5", None, seeds=2, diverged=2),
        Candidate("r4", "epoch10", None, seeds=2, diverged=2),
        Candidate("r2", "epoch5", Scores(30, 65, 2), seeds=2, diverged=0),
        Candidate("r2", "epoch10", Scores(10, 50, 2), seeds=2, diverged=1),
    ]


def test_references_are_means_over_their_seeds_and_may_not_diverge() -> None:
    one, other = answers(seed0=(10, 50)), answers(seed1=(30, 60))
    assert reference("retrain", [one, other]) == Scores(20, 55, 2)
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
    return tmp_path


def select(folder: Path, *arguments: str, rule: Rule = "muse", code: int = 0) -> str:
    return run_script(
        "select_candidate.py",
        f"--cell={CELL}",
        f"--answers={folder / 'cell'}",
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
    assert (found.chosen, found.rule, found.asked) == (expected, rule, Asked(3, 4))
    assert (found.target, found.retrain) == (Scores(80, 60, 2), Scores(20, 55, 2))
    assert [own.name for own in found.candidates] == [
        *("r2/epoch5", "r2/epoch10", "r4/epoch5", "r4/epoch10"),
    ]


def test_the_script_tells_of_a_name_that_is_none_and_of_a_broken_file(experiment: Path) -> None:
    message = select(experiment, "--named=r3/epoch5", rule="fixed", code=2)
    assert message == (
        f"error: 'r3/epoch5' is no candidate of {CELL}; use one of: r2/epoch5, r2/epoch10, "
        "r4/epoch5, r4/epoch10\n"
    )
    write_json(experiment / "cell/seed1/r4.json", [])
    assert "r4.json: no answers of candidates" in select(experiment, code=2)


def test_a_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a.json", selection())
    assert read(tmp_path / "a.json") == selection()
    found = read_json(tmp_path / "a.json")
    del found["reason"]
    write_json(tmp_path / "a.json", found)
    with pytest.raises(InputError, match=r"a\.json: no choice of a candidate"):
        read(tmp_path / "a.json")


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


def test_the_table_has_every_candidate() -> None:
    rows = as_csv([selection(), selection(cell="books/ga/full")]).splitlines()
    cell = "news,npo_gdr,lora"
    assert rows[:7] == [
        "corpus,objective,adapter,point,epochs,knowmem,utility,nll_forget,"
        "n_forget,n_retain,seeds,diverged,front,chosen",
        f"{cell},target,,80,60,0.1,30,29,,,,",
        f"{cell},retrain,,20,55,4,30,29,,,,",
        f"{cell},r2,1,30,58,1.25,30,29,1,0,yes,no",
        f"{cell},r2,10,15,41,2.5,30,29,1,0,yes,yes",
        f"{cell},r4,1,16,40,2,30,29,2,1,no,no",
        f"{cell},r4,10,,,,30,29,1,1,no,no",
    ]
    assert len(rows) == 1 + 2 * (2 + 4) and rows[7].startswith("books,ga,full,target,,")


def test_the_table_in_markdown() -> None:
    lines = as_markdown([selection()]).splitlines()
    assert lines[5] == (
        "| NEWS | NPO+GDR | LoRA | r2 after 10 epochs | ✓ | ✓ | 15.0 | 41.0 | 2.50 |"
    )
    assert lines[6].startswith("| NEWS | NPO+GDR | LoRA | r4 after 1 epoch (1 of 2 diverged) |  |")
    assert lines[7].endswith("| diverged | diverged | diverged |")
    assert {line.count("|") for line in lines[:8]} == {10}
    assert lines[9:11] == [
        "* NEWS, NPO+GDR, LoRA: r2 after 10 epochs, chosen by MUSE's rule: the first snapshot of "
        "its training whose forget KnowMem, 15.0, is at or below retrain's, 20.0; 1 of 2 trainings "
        "have such a snapshot, and its Utility, 41.0, is the highest of theirs.",
        "* Questions: NEWS 30 on forget and 29 on retain.",
    ]


def test_the_script_writes_the_table(tmp_path: Path) -> None:
    write(tmp_path / "choice.json", selection())
    run_script(
        "make_candidates_table.py",
        f"--selections={tmp_path / 'choice.json'}",
        f"--output={tmp_path}",
    )
    assert (tmp_path / "candidates.md").read_text("utf-8") == as_markdown([selection()])
    assert (tmp_path / "candidates.csv").read_text("utf-8") == as_csv([selection()])


def test_the_chosen_one_is_taken_without_a_copy(tmp_path: Path) -> None:
    trained = tmp_path / "seed0/r2/epoch10"
    (trained / "deep").mkdir(parents=True)
    (trained / "weights").write_bytes(b"1")
    (trained / "deep/file").write_bytes(b"2")
    write(tmp_path / "choice.json", selection())
    flags = (f"--selection={tmp_path / 'choice.json'}", f"--output={tmp_path / 'taken'}")
    run_script("take_selected.py", *flags, f"--trainings={tmp_path / 'seed0'}")
    taken = tmp_path / "taken"
    assert {path.name for path in taken.rglob("*")} == {"weights", "deep", "file"}
    assert (taken / "weights").samefile(trained / "weights")

    done = run_script("take_selected.py", *flags, f"--trainings={tmp_path / 'seed1'}", code=2)
    assert "seed1/r2/epoch10: the chosen candidate is missing" in done.stderr
    assert (taken / "weights").exists()  # the earlier one is left whole


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
