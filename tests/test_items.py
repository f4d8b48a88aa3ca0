"""Metrics as statistics of records: by hand, drawn again, and scored from their files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_records import evaluate

from qunlearn.evaluate import records, scoring
from qunlearn.evaluate.definitions import DEFINITIONS, likelihood, membership, privleak
from qunlearn.experiment.names import METRICS
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json, write_jsonl
from qunlearn.statistics.items import item_draws, mean, value


def texts(forget: list[float], holdout: list[float]) -> list[records.Record]:
    """Records of texts with these Min-K% scores; text i has i + 1 tokens of NLL 2."""
    return [
        {
            "id": f"{split}/{i}",
            "split": split,
            "tokens": i + 1,
            "nll_sum": 2.0 * (i + 1),
            "min_k": x,
        }
        for split, scores in (("forget", forget), ("holdout", holdout))
        for i, x in enumerate(scores)
    ]


def test_a_draw_weighs_the_items() -> None:
    assert mean("ab", [10, 30]).draw([np.array([[1.0, 0.0], [0.25, 0.75]])]).tolist() == [10, 25]
    falling = [{**text, "nll_sum": 12.0 - text["tokens"]} for text in texts([0, 0], [])]
    ratio = likelihood(falling, "forget")
    assert ratio.draw([np.array([[0.5, 0.5], [0.0, 1.0]])]).tolist() == [21 / 3, 10 / 2]
    pairs = membership(texts([-1, -3], [-2, -4]))
    assert pairs.draw([np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])]).tolist() == [1.0]
    assert pairs.draw([np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])]).tolist() == [0.5]


def test_an_auc_knows_scores_by_their_ranks_in_their_own_model() -> None:
    """A model that ranks all texts alike has a PrivLeak of 0 in all draws, whatever its scale."""
    scores, scaled = texts([-1, -3, -2], [-2, -5]), texts([-10, -30, -20], [-20, -50])
    assert value(membership(scores)) == (0 + 0.5 + 0 + 0 + 1 + 0) / 6
    assert np.nanmax(np.abs(item_draws(privleak(scaled, scores)))) == 0


def test_a_draw_in_which_retrain_has_an_auc_of_0_has_no_privleak() -> None:
    retrain = texts([-1, -3], [-2])
    found = privleak(texts([-3, -1], [-2]), retrain)
    each = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert found.draw([each, np.ones((3, 1))]) == pytest.approx([np.nan, -100.0, 0.0], nan_ok=True)
    with pytest.raises(InputError, match="AUC of forget against holdout is 0"):
        privleak(retrain, texts([-1, -1], [-2]))


def lay_down(folder: Path, holdout: list[float]) -> Path:
    """Records with hand-made scores: forget texts at -1 and -3, holdout texts as given."""
    evaluate(folder.parent, folder.name, forget=(-1.0, -3.0), holdout=holdout)
    answer = {"id": 0, "question": "?", "reference": "the red mill", "rougeL": 0.3}
    prompt = {"prompt": "a", "reference": "red mill", "rougeL": 0.3}  # computed anew
    verbatim = [{"id": i, **prompt, "output": text} for i, text in enumerate(("red mills", ""))]
    write_jsonl(folder / records.VERBMEM, verbatim)
    write_jsonl(folder / records.KNOWMEM_FORGET, [{**answer, "output": "the"}])
    write_jsonl(folder / records.KNOWMEM_RETAIN, [{**answer, "output": "the red mill"}])
    return folder / records.PRIVLEAK


def scored(folder: Path, retrain: Path | None) -> dict[str, Any]:
    return scoring.score(folder, retrain, stemmer=True)


def test_score_by_hand(tmp_path: Path) -> None:
    retrain = lay_down(tmp_path / "retrain", [-2.0, -2.0])
    lay_down(tmp_path / "model", [-2.0, -4.0])
    result = scored(tmp_path / "model", retrain)
    metrics = result["metrics"]
    assert (result["status"], result["retrain_auc"]) == ("ok", 0.5)
    assert tuple(DEFINITIONS) == METRICS
    expected = {
        "verbmem": (50.0, 2),  # 1 and 0
        "knowmem": (50.0, 1),  # one of one and one of three words: F1 = 2/(1+3)
        "privleak": (-50.0, 4),
        "utility": (100.0, 1),
        "auc": (0.25, 4),  # -2 beats -3; everything else loses
        "nll_forget": (1.5, 2),
        "nll_retain": (1.5, 2),
    }
    assert {name: (entry["value"], entry["n"]) for name, entry in metrics.items()} == expected
    assert all(entry["ci_low"] <= entry["value"] <= entry["ci_high"] for entry in metrics.values())
    assert scoring.score(tmp_path / "model", retrain, False)["metrics"]["verbmem"]["value"] == 25.0


def test_privleak_carries_the_doubt_about_retrain(tmp_path: Path) -> None:
    """A model that ranks the texts as retrain does is at 0 whichever texts are drawn."""
    retrain = lay_down(tmp_path / "retrain", [-2.0, -4.0])
    lay_down(tmp_path / "model", [-2.0, -0.5])
    own, same = (scored(tmp_path / "retrain", reference) for reference in (None, retrain))
    zero = {"value": 0.0, "n": 4, "ci_low": 0.0, "ci_high": 0.0}
    assert own["metrics"]["privleak"] == same["metrics"]["privleak"] == zero
    # Retrain's AUC is 0 where -3, which loses to -2 alone, is not drawn, or -2 is not: 7 of 16
    assert own["dropped_draws"] == same["dropped_draws"] == pytest.approx(10_000 * 7 / 16, abs=300)
    # .75 to .25. On the texts drawn retrain has .25, .5 or 1 and the model .5 to 1, never less.
    other = scored(tmp_path / "model", retrain)["metrics"]["privleak"]
    assert other == {"value": 200.0, "n": 4, "ci_low": 0.0, "ci_high": 200.0}


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    model, other = tmp_path / "model", lay_down(tmp_path / "other", [-2.0, -2.0])
    retrain = lay_down(model, [-2.0])
    with pytest.raises(InputError, match="of other texts"):
        scored(model, other)
    made = {"status": "ok", "settings": {"stemmer": True}}
    write_json(model / "manifest.json", made | {"inputs": {"retrain": "a digest"}})
    with pytest.raises(InputError, match="give retrain's privleak"):
        scoring.rescore(model, None)
    write_json(model / "manifest.json", made | {"inputs": {}})
    with pytest.raises(InputError, match="leave retrain out"):
        scoring.rescore(model, retrain)
    write_jsonl(other, [{"id": "forget/0", "split": "forget", "tokens": 3, "nll_sum": 1.0}])
    with pytest.raises(InputError, match="line 1 lacks min_k"):
        scored(model, other)
    (model / records.VERBMEM).write_text("")
    with pytest.raises(InputError, match=r"verbmem\.jsonl: no records"):
        scored(model, None)
