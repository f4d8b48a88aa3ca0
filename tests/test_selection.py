"""Choosing among candidates: the rule on grids whose answer is plain, the choice, its tables."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from small_corpora import run_script
from small_summaries import unpadded
from test_manifest import cut, made

from qunlearn.analysis.selection.choice import Selection, choose, gather, read, reference, write
from qunlearn.report.candidates import notes, write_table
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json

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


def chosen(candidates: pd.DataFrame, at: float) -> Selection:
    """With retrain's KnowMem at `at`."""
    scores, counts = {"knowmem": at, "utility": at}, {"forget": 3, "retain": 4}
    return choose("news/ga/lora", counts, scores, scores, candidates)


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
    choice = chosen(grid(PLAIN), 20)
    assert (choice.chosen, choice.caveat) == ("a/epoch2", "")
    assert "KnowMem, 20.0, is at or below retrain's, 20.0; 2 of 3 trainings" in choice.reason
    assert chosen(grid(PLAIN), 19.9).chosen == "a/epoch3"
    # What forgot most, where nothing forgot enough.
    little: Candidates = {"a/epoch1": (50, 90), "a/epoch2": (40, 10), "b/epoch1": (45, 80)}
    choice = chosen(grid(little), 20)
    assert choice.chosen == "a/epoch2" and choice.caveat in choice.reason
    assert choice.caveat.startswith("no candidate's forget KnowMem is at or below retrain's, 20.0;")


@pytest.mark.parametrize("at", [20, 5])
def test_of_equals_fewer_epochs_win_and_then_the_order_of_the_grid(at: float) -> None:
    for names in (["a/epoch10", "b/epoch5"], ["b/epoch5", "a/epoch5"]):  # 10 is not before 5
        assert chosen(grid(dict.fromkeys(names, (10, 50))), at).chosen == "b/epoch5"


def test_a_candidate_with_a_diverged_seed_never_wins() -> None:
    tried = grid(BROKEN | PLAIN, DIVERGED)
    assert chosen(tried, 20).chosen == "a/epoch2"
    # Where all have one, the least diverged stands for the cell.
    choice = chosen(grid(dict(reversed(BROKEN.items())), DIVERGED), 20)
    assert (choice.chosen, choice.caveat) == ("x/epoch1", "all diverged")


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


@pytest.fixture
def experiment(tmp_path: Path) -> Path:
    """Answers of target (80, 60), retrain (20, 55), and of two trainings of two seeds."""
    cell = "news/ga/lora"
    found = {
        "target": {"target": answer(80, 60)},
        "retrain": {"retrain": answer(20, 55)},
        f"{cell}/seed0/r2": {"epoch5": answer(30, 58), "epoch10": answer(10, 40)},
        f"{cell}/seed1/r2": {"epoch5": answer(20, 58), "epoch10": answer(20, 42)},
        f"{cell}/seed0/r4": {"epoch5": answer(20, 50), "epoch10": answer(0, 20)},
        f"{cell}/seed1/r4": {"epoch5": answer(20, 50), "epoch10": answer()},
    }
    for path, models in found.items():
        write_json(tmp_path / f"selection/{path}.json", {"models": models})
        for epoch in models if path.startswith(cell) else ():
            made(tmp_path / "sweep" / path / epoch)
    return tmp_path


def select(results: Path, code: int = 0) -> str:
    return run_script(
        "select_candidate.py",
        *(f"--results={results}", "--cell=news/ga/lora"),
        *("--points", "r2", "r4", "--seeds", "0", "1"),
        *(f"--{name}={results}/selection/{name}.json" for name in ("target", "retrain")),
        code=code,
    ).stderr


def test_the_script_chooses_by_the_rule(experiment: Path) -> None:
    select(experiment)
    expected = "r4/epoch5"  # at or below 20: r2 after 10 (15, 41), r4 after 5 (20, 50)
    found = read(experiment / "selection/news/ga/lora.json")
    assert (found.chosen, found.evaluated) == (expected, {"forget": 3, "retain": 4})
    assert (found.target["knowmem"], found.retrain["utility"]) == (80, 55)
    for run in ("news/ga/lora/seed0", "news/ga/lora/seed1"):
        own, taken = experiment / f"sweep/{run}/{expected}", experiment / f"unlearned/{run}"
        names = {path.relative_to(own) for path in own.rglob("*")}
        assert {path.relative_to(taken) for path in taken.rglob("*")} == names
        assert (taken / "model.safetensors").samefile(own / "model.safetensors")  # no copy
        record = experiment / f"records/unlearned/{run}"
        assert [file.name for file in record.iterdir()] == ["manifest.json"]


def test_the_script_takes_no_candidate_that_is_damaged_or_missing(experiment: Path) -> None:
    run = experiment / "sweep/news/ga/lora/seed1"
    cut(run / "r4/epoch5/model.safetensors")
    assert "r4/epoch5/model.safetensors: 999 bytes instead of 1000" in select(experiment, code=2)
    shutil.rmtree(run / "r4/epoch5")
    assert "r4/epoch5: the chosen candidate is missing" in select(experiment, code=2)
    assert not (experiment / "selection/news/ga/lora.json").exists()


def selection(retrain: float = 20.0, **changes: Any) -> Selection:
    tried: Candidates = {"r2/epoch1": (30, 58, 1.25), "r2/epoch10": (15, 41, 2.5)}
    tried |= {"r4/epoch1": (16, 40), "r4/epoch10": (0, 0)}
    arguments: dict[str, Any] = {
        "cell": "news/npo_gdr/lora",
        "evaluated": {"forget": 30, "retain": 29},
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


def test_the_table_has_every_candidate(tmp_path: Path) -> None:
    write_table([selection(), selection(cell="books/ga/full", retrain=0.0)], tmp_path)
    rows = (tmp_path / "candidates.csv").read_text("utf-8").splitlines()
    cell = "news,npo_gdr,lora"
    assert rows[:7] == [
        "corpus,objective,adapter,point,epochs,knowmem,utility,nll_forget,"
        "n_forget,n_retain,seeds,diverged,chosen",
        f"{cell},target,,80,60,0.1,30,29,,,",
        f"{cell},retrain,,20,55,4,30,29,,,",
        f"{cell},r2,1,30,58,1.25,30,29,2,0,no",
        f"{cell},r2,10,15,41,2.5,30,29,2,0,yes",
        f"{cell},r4,1,16,40,2,30,29,2,1,no",
        f"{cell},r4,10,,,,30,29,2,2,no",
    ]
    assert len(rows) == 1 + 2 * (2 + 4) and rows[7].startswith("books,ga,full,target,,")
    lines = unpadded((tmp_path / "candidates.md").read_text("utf-8")).splitlines()
    assert lines[5] == "| NEWS | NPO+GDR | LoRA | r2 after 10 epochs | ✓ | 15.0 | 41.0 | 2.50 |"
    assert "| r4 after 1 epoch (1 of 2 diverged) |" in lines[6]
    assert lines[7].endswith("| diverged | diverged | diverged |")
    below = [line for line in lines if line.startswith("* ")]
    assert below[0].startswith("* NEWS, NPO+GDR, LoRA: r2 after 10 epochs, chosen by MUSE's")
    assert "no candidate's forget KnowMem is at or below retrain's, 0.0" in below[1]
    assert below[2].startswith("* Questions: NEWS 30 on forget and 29 on retain;")
