"""Reversion on records that are small enough to work out by hand."""

from pathlib import Path

import pytest

from qunlearn.analysis.metrics import Score
from qunlearn.analysis.reversion import reversions
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json, write_jsonl

MODEL = "news/npo_gdr/full/seed0"


def evaluate(folder: Path, cell: str, rouge: float, nll: float, min_k: float) -> None:
    """Eight prompts, questions and texts with these scores, give or take what makes them differ."""
    place = folder / cell
    shifts = [-0.03, -0.02, -0.01, 0.0, 0.0, 0.01, 0.02, 0.03]
    answers = [
        {"id": i, "output": "", "reference": "", "rougeL": rouge + s} for i, s in enumerate(shifts)
    ]
    texts = [
        {"id": f"{split}/{i}", "split": split, "tokens": 10, "nll_sum": 10 * (nll + s),
         "min_k": (min_k if split == "forget" else 0.0) + s}
        for split in ("forget", "retain", "holdout")
        for i, s in enumerate(shifts)
    ]  # fmt: skip
    write_jsonl(place / "verbmem.jsonl", [{**item, "prompt": ""} for item in answers])
    for name in ("knowmem_forget.jsonl", "knowmem_retain.jsonl"):
        write_jsonl(place / name, [{**item, "question": ""} for item in answers])
    write_jsonl(place / "privleak.jsonl", texts)
    write_json(place / "metrics.json", {"status": "ok"})


@pytest.fixture
def evaluations(tmp_path: Path) -> Path:
    evaluate(tmp_path, "news/target/bf16", rouge=0.9, nll=0.1, min_k=5)
    evaluate(tmp_path, "news/target/rtn4", rouge=0.8, nll=0.5, min_k=5)
    evaluate(tmp_path, f"{MODEL}/bf16", rouge=0.2, nll=3.5, min_k=-5)
    evaluate(tmp_path, f"{MODEL}/rtn4", rouge=0.5, nll=2.0, min_k=-5)
    return tmp_path


def by_metric(scores: list[Score]) -> dict[str, Score]:
    return {score.metric: score for score in scores}


def test_reversion_by_hand(evaluations: Path) -> None:
    found = by_metric(reversions(evaluations, ["news/target/rtn4", f"{MODEL}/rtn4"], "mini"))

    assert list(found) == [
        f"reversion_{name}" for name in ("verbmem", "knowmem", "privleak", "nll_forget")
    ]
    assert found["reversion_verbmem"].value == pytest.approx((0.5 - 0.2) / (0.8 - 0.2))
    assert found["reversion_knowmem"].value == pytest.approx(0.5)
    assert found["reversion_nll_forget"].value == pytest.approx((2.0 - 3.5) / (0.5 - 3.5))
    assert found["reversion_privleak"].value == 0  # an AUC of 1 before and after
    assert [score.n for score in found.values()] == [8, 8, 16, 8]


def test_items_are_drawn_together_for_all_three_models(evaluations: Path) -> None:
    """The items differ alike in all models, so the draws agree and the interval has no width."""
    score = by_metric(reversions(evaluations, [f"{MODEL}/rtn4"], "mini"))["reversion_verbmem"]

    assert score.ci_low == pytest.approx(0.5)
    assert score.ci_high == pytest.approx(0.5)


def test_in_bf16_all_forgetting_is_there(evaluations: Path) -> None:
    scores = reversions(evaluations, [f"{MODEL}/bf16"], "mini")

    assert [(score.value, score.ci_low, score.ci_high) for score in scores] == [(0, 0, 0)] * 4


@pytest.mark.parametrize("rouge", [0.801, 0.8, 0.79, 0.95])
def test_what_was_not_forgotten_cannot_come_back(evaluations: Path, rouge: float) -> None:
    """As good as the target on its items, or better: no distance to divide by."""
    evaluate(evaluations, f"{MODEL}/bf16", rouge=rouge, nll=3.5, min_k=-5)
    items = (evaluations / f"{MODEL}/bf16/verbmem.jsonl").read_text(encoding="utf-8").splitlines()
    mixed = [items[0].replace(f"{rouge - 0.03}", "0.99"), *items[1:]]  # so that draws differ
    (evaluations / f"{MODEL}/bf16/verbmem.jsonl").write_text("\n".join(mixed) + "\n")

    found = by_metric(reversions(evaluations, [f"{MODEL}/rtn4"], "mini"))

    score = found["reversion_verbmem"]
    assert (score.value, score.ci_low, score.ci_high, score.n) == (None, None, None, None)
    assert score.absent == "undefined"
    assert found["reversion_nll_forget"].value == pytest.approx(0.5)


@pytest.mark.parametrize("cell", ["news/target/rtn4", f"{MODEL}/bf16", f"{MODEL}/rtn4"])
def test_a_diverged_model_has_no_reversion(evaluations: Path, cell: str) -> None:
    write_json(evaluations / cell / "metrics.json", {"status": "diverged"})

    scores = reversions(evaluations, [f"{MODEL}/rtn4"], "mini")

    assert {(score.value, score.absent) for score in scores} == {(None, "diverged")}


def test_models_that_were_asked_other_items_are_not_compared(evaluations: Path) -> None:
    file = evaluations / "news/target/rtn4/verbmem.jsonl"
    file.write_text("".join(file.read_text(encoding="utf-8").splitlines(keepends=True)[:-1]))

    with pytest.raises(InputError, match=r"verbmem\.jsonl is not of the same items as in"):
        reversions(evaluations, [f"{MODEL}/rtn4"], "mini")


def test_without_the_target_at_this_precision_there_is_an_error(evaluations: Path) -> None:
    (evaluations / "news/target/rtn4/metrics.json").unlink()

    with pytest.raises(InputError, match=r"news/target/rtn4/metrics\.json: no such file"):
        reversions(evaluations, [f"{MODEL}/rtn4"], "mini")
