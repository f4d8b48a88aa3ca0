"""Choosing among candidates: the rules on grids whose answer is plain, the choice, its tables."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_summaries import unpadded

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
from qunlearn.report.candidates import notes, write_table
from qunlearn.run.errors import InputError

SCORES = ("knowmem", "utility", "nll_forget")
Candidates = dict[str, tuple[float, ...]]


def answer(*scores: float) -> dict[str, Any]:
    """KnowMem, Utility and forget NLL (2 where it does not matter); nothing: it diverged."""
    if not scores:
        return {"status": "diverged"}
    items = {"knowmem": [{}] * 3, "utility": [{}] * 4}
    return {"status": "ok", **dict(zip(SCORES, (*scores, 2.0), strict=False)), "items": items}


def grid(candidates: Candidates, broken: dict[str, int] | None = None) -> pd.DataFrame:
    """Candidates of two seeds, of which some may have diverged."""
    answers: dict[str, list[dict[str, Any]]] = {}
    for name, scores in candidates.items():
        point, epoch = name.split("/")
        for seed, found in enumerate(answers.setdefault(point, [{}, {}])):
            found[epoch] = answer(*scores) if seed >= (broken or {}).get(name, 0) else answer()
    return gather(list(answers), answers)


def chosen(rule: Rule, candidates: pd.DataFrame, at: float = 0, named: str = "") -> Selection:
    """With retrain's KnowMem or target's Utility at `at`."""
    scores, asked = {"knowmem": at, "utility": at}, {"forget": 3, "retain": 4}
    return choose("news/ga/lora", rule, "test", named, asked, scores, scores, candidates)


# Retrain knows 20. Of `a` the first snapshot at or below that is the second, of `b` the first.
PLAIN: Candidates = {
    "a/epoch1": (50, 90),
    "a/epoch2": (20, 60),
    "a/epoch3": (10, 70),  # more useful than the second, but not the first
    "b/epoch1": (5, 50),
    "b/epoch2": (0, 99),
    "c/epoch1": (21, 80),
    "c/epoch2": (30, 95),
}
BROKEN: Candidates = {"x/epoch1": (0, 99), "y/epoch1": (0, 0)}
DIVERGED = {"x/epoch1": 1, "y/epoch1": 2}


def test_muse_takes_the_first_snapshot_that_forgot_and_of_these_the_most_useful() -> None:
    choice = chosen("muse", grid(PLAIN), 20)
    assert (choice.chosen, choice.caveat) == ("a/epoch2", "")
    assert "KnowMem, 20.0, is at or below retrain's, 20.0; 2 of 3 trainings" in choice.reason
    assert chosen("muse", grid(PLAIN), 19.9).chosen == "a/epoch3"
    # What forgot most, where nothing forgot enough.
    little: Candidates = {"a/epoch1": (50, 90), "a/epoch2": (40, 10), "b/epoch1": (45, 80)}
    choice = chosen("muse", grid(little), 20)
    assert choice.chosen == "a/epoch2" and choice.caveat in choice.reason
    assert choice.caveat.startswith("no candidate's forget KnowMem is at or below retrain's, 20.0;")


@pytest.mark.parametrize(("rule", "at"), [("muse", 20), ("muse", 5), ("pareto", 60)])
def test_of_equals_fewer_epochs_win_and_then_the_order_of_the_grid(rule: Rule, at: float) -> None:
    for names in (["a/epoch10", "b/epoch5"], ["b/epoch5", "a/epoch5"]):  # 10 is not before 5
        assert chosen(rule, grid(dict.fromkeys(names, (10, 50))), at).chosen == "b/epoch5"


def test_the_front() -> None:
    """`b` equals `a`, `c` is as forgetful and less useful."""
    tried: Candidates = {"a/epoch1": (10, 50), "b/epoch1": (10, 50), "c/epoch1": (10, 49)}
    tried |= {"d/epoch1": (11, 50), "e/epoch1": (30, 51), "f/epoch1": (0, 0), "x/epoch1": (0, 99)}
    found = grid(tried, DIVERGED)
    assert list(found["point"][found["front"]]) == ["a", "b", "e", "f"]


@pytest.mark.parametrize(
    ("tried", "expected"),
    [
        # From (0, 60): 50 (30, 40 away), 41 (40, 9), 60 (0, 60); the last is beaten.
        ([(30, 20), (40, 51), (0, 0), (40, 50)], 1),
        # Utility above target's is no fault: as a distance, 35 above would be as bad as 35 below.
        ([(10, 95), (9, 45)], 0),
        # None that is beaten is taken, though it is as near.
        ([(10, 70), (10, 80)], 1),
    ],
)
def test_pareto_takes_the_nearest_of_a_front(tried: list[tuple[float, ...]], expected: int) -> None:
    names = {f"{i}/epoch1": scores for i, scores in enumerate(tried)}
    assert chosen("pareto", grid(names), 60).chosen == f"{expected}/epoch1"


def test_a_candidate_with_a_diverged_seed_never_wins() -> None:
    tried = grid(BROKEN | PLAIN, DIVERGED)
    assert chosen("muse", tried, 20).chosen == "a/epoch2"
    assert chosen("pareto", tried, 99).chosen == "b/epoch2"
    for rule in ("muse", "pareto"):  # where all have one, the least diverged stands for the cell
        choice = chosen(rule, grid(dict(reversed(BROKEN.items())), DIVERGED), 20)  # type: ignore[arg-type]
        assert (choice.chosen, choice.caveat) == ("x/epoch1", "all diverged")


def test_fixed_takes_what_is_named_be_it_good_or_bad() -> None:
    assert chosen("fixed", grid(PLAIN), named="c/epoch2").chosen == "c/epoch2"
    with pytest.raises(InputError, match="'c/epoch3' is not a candidate of news/ga/lora; use one"):
        chosen("fixed", grid(PLAIN), named="c/epoch3")


def test_candidates_and_references_are_means_over_the_seeds() -> None:
    seeds = [{"epoch5": answer(40, 70), "epoch10": answer(10, 50)}]
    seeds.append({"epoch5": answer(20, 60), "epoch10": answer()})
    none = [{"epoch5": answer()}] * 2
    found = gather(["r4", "r2"], {"r2": seeds, "r4": none})
    assert found["name"].tolist() == ["r4/epoch5", "r2/epoch5", "r2/epoch10"]
    assert found["epochs"].tolist() == [5, 5, 10]
    assert found[list(SCORES)].to_numpy()[1:].tolist() == [[30, 65, 2], [10, 50, 2]]
    assert found["knowmem"].isna().tolist() == [True, False, False]
    assert (found["seeds"].tolist(), found["diverged"].tolist()) == ([2] * 3, [2, 0, 1])
    one, other = {"seed0": answer(10, 50)}, {"seed1": answer(30, 60)}
    assert reference("retrain", [one, other]) == {"knowmem": 20, "utility": 55, "nll_forget": 2}
    with pytest.raises(InputError, match="retrain diverged"):
        reference("retrain", [one, {"seed1": answer()}])
    with pytest.raises(InputError, match="r4/epoch5: the chosen candidate is missing"):
        link_folder(Path("r4/epoch5"), Path("taken"))


def selection(rule: Rule = "muse", retrain: float = 20.0, **changes: Any) -> Selection:
    tried: Candidates = {"r2/epoch1": (30, 58, 1.25), "r2/epoch10": (15, 41, 2.5)}
    tried |= {"r4/epoch1": (16, 40), "r4/epoch10": (0, 0)}
    arguments: dict[str, Any] = {
        "cell": "news/npo_gdr/lora",
        "rule": rule,
        "questions": "split",
        "named": "r2/epoch1",
        "asked": {"forget": 30, "retain": 29},
        "target": dict(zip(SCORES, (80.0, 60.0, 0.1), strict=True)),
        "retrain": dict(zip(SCORES, (retrain, 55.0, 4.0), strict=True)),
        "candidates": grid(tried, {"r4/epoch1": 1, "r4/epoch10": 2}),
    }
    return choose(**arguments | changes)


def test_a_choice_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(tmp_path / "a.json", selection())
    again, own = vars(read(tmp_path / "a.json")), vars(selection())
    assert again.pop("candidates").equals(own.pop("candidates"))
    assert again == own
    assert "NaN" not in (tmp_path / "a.json").read_text("utf-8")


def test_sentences_say_what_was_chosen_how_and_on_what() -> None:
    first, second, last = notes([selection(), selection(cell="news/ga/full", retrain=0.0)])
    assert first == (
        "NEWS, NPO+GDR, LoRA: r2 after 10 epochs, chosen by MUSE's rule among 4 candidates."
    )
    assert "4 candidates (no candidate's forget KnowMem is at or below retrain's, 0.0;" in second
    assert last.endswith("not in this table: NEWS 30 on forget and 29 on retain.")
    assert notes([selection(questions="test")])[-1].startswith("Warning: settings were chosen")
    (fixed,) = notes([selection("fixed", questions="test")])
    assert fixed.endswith("r2 after 1 epoch, named in the configuration among 4 candidates.")


def test_the_table_has_every_candidate(tmp_path: Path) -> None:
    write_table([selection(), selection(cell="books/ga/full", retrain=0.0)], tmp_path)
    rows = (tmp_path / "candidates.csv").read_text("utf-8").splitlines()
    cell = "news,npo_gdr,lora"
    assert rows[:7] == [
        "corpus,objective,adapter,point,epochs,knowmem,utility,nll_forget,"
        "n_forget,n_retain,seeds,diverged,front,chosen",
        f"{cell},target,,80,60,0.1,30,29,,,,",
        f"{cell},retrain,,20,55,4,30,29,,,,",
        f"{cell},r2,1,30,58,1.25,30,29,2,0,yes,no",
        f"{cell},r2,10,15,41,2.5,30,29,2,0,yes,yes",
        f"{cell},r4,1,16,40,2,30,29,2,1,no,no",
        f"{cell},r4,10,,,,30,29,2,2,no,no",
    ]
    assert len(rows) == 1 + 2 * (2 + 4) and rows[7].startswith("books,ga,full,target,,")
    lines = unpadded((tmp_path / "candidates.md").read_text("utf-8")).splitlines()
    assert lines[5] == "| NEWS | NPO+GDR | LoRA | r2 after 10 epochs | ✓ | ✓ | 15.0 | 41.0 | 2.50 |"
    assert "| r4 after 1 epoch (1 of 2 diverged) |" in lines[6]
    assert lines[7].endswith("| diverged | diverged | diverged |")
    below = [line for line in lines if line.startswith("* ")]
    assert below[0].startswith("* NEWS, NPO+GDR, LoRA: r2 after 10 epochs, chosen by MUSE's")
    assert "no candidate's forget KnowMem is at or below retrain's, 0.0" in below[1]
    assert below[2].startswith("* Questions: NEWS 30 on forget and 29 on retain;")
