"""Scores of hand-made records, and what does not fit together."""

from pathlib import Path

import pytest

from qunlearn.evaluate import records, scoring
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json, write_jsonl


def write_records(folder: Path, holdout: list[float]) -> Path:
    """Records with hand-made scores: forget texts at -1 and -3, holdout texts as given."""
    answer = {"id": 0, "question": "?", "reference": "the red mill", "rougeL": 0.0}
    write_jsonl(
        folder / records.VERBMEM,
        [
            {"id": 0, "prompt": "a", "output": "red mills", "reference": "red mill", "rougeL": 1.0},
            {"id": 1, "prompt": "a", "output": "", "reference": "red mill", "rougeL": 0.0},
        ],
    )
    write_jsonl(folder / records.KNOWMEM_FORGET, [{**answer, "output": "the"}])
    write_jsonl(folder / records.KNOWMEM_RETAIN, [{**answer, "output": "the red mill"}])
    texts = [("forget", 2, 6.0, -1.0), ("forget", 8, 4.0, -3.0), ("retain", 5, 10.0, -2.0)]
    texts += [("holdout", 4, 4.0, score) for score in holdout]
    write_jsonl(
        folder / records.PRIVLEAK,
        [
            {"id": f"{split}/{i}", "split": split, "tokens": n, "nll_sum": nll, "min_k": score}
            for i, (split, n, nll, score) in enumerate(texts)
        ],
    )
    return folder / records.PRIVLEAK


def test_score_by_hand(tmp_path: Path) -> None:
    retrain = write_records(tmp_path / "retrain", [-2.0, -2.0])
    write_records(tmp_path / "model", [-2.0, -4.0])
    result = scoring.score(tmp_path / "model", retrain, stemmer=True)
    metrics = result["metrics"]
    assert result["status"] == "ok"
    assert result["retrain_auc"] == 0.5
    assert {name: entry["value"] for name, entry in metrics.items()} == pytest.approx(
        {
            "verbmem": 50.0,  # 1 and 0
            "knowmem": 50.0,  # one of one and one of three words: F1 = 2/(1+3)
            "utility": 100.0,
            "privleak": -50.0,
            "auc": 0.25,  # -2 beats -3; everything else loses
            "nll_forget": 1.0,  # (6+4)/(2+8)
            "nll_retain": 2.0,
        }
    )
    assert {name: entry["n"] for name, entry in metrics.items()} == {
        "verbmem": 2,
        "knowmem": 1,
        "utility": 1,
        "privleak": 4,
        "auc": 4,
        "nll_forget": 2,
        "nll_retain": 1,
    }
    assert all(entry["ci_low"] <= entry["value"] <= entry["ci_high"] for entry in metrics.values())
    assert scoring.score(tmp_path / "model", retrain, False)["metrics"]["verbmem"]["value"] == 25.0


def test_privleak_carries_the_doubt_about_retrain(tmp_path: Path) -> None:
    """A model that ranks the texts as retrain does is at 0 whichever texts are drawn."""
    retrain = write_records(tmp_path / "retrain", [-2.0, -4.0])
    write_records(tmp_path / "model", [-2.0, -0.5])
    own = scoring.score(tmp_path / "retrain", None, stemmer=True)
    same = scoring.score(tmp_path / "retrain", retrain, stemmer=True)
    zero = {"value": 0.0, "n": 4, "ci_low": 0.0, "ci_high": 0.0}
    assert own["metrics"]["privleak"] == same["metrics"]["privleak"] == zero
    # Retrain's AUC is 0 where -3, which loses to -2 alone, is not drawn, or -2 is not: 7 of 16
    assert own["dropped_draws"] == same["dropped_draws"] == pytest.approx(10_000 * 7 / 16, abs=300)
    other = scoring.score(tmp_path / "model", retrain, stemmer=True)
    assert other["metrics"]["privleak"]["value"] == 200.0  # .75 to .25
    # On the texts drawn retrain has .25, .5 or 1 and the model .5 to 1, never less than it.
    assert other["metrics"]["privleak"]["ci_low"] == 0.0
    assert other["metrics"]["privleak"]["ci_high"] == 200.0


def test_score_refuses_what_does_not_fit(tmp_path: Path) -> None:
    write_records(tmp_path / "model", [-2.0])
    other = write_records(tmp_path / "other", [-2.0, -2.0])
    with pytest.raises(InputError, match="not of the same texts"):
        scoring.score(tmp_path / "model", other, stemmer=True)
    write_jsonl(other, [{"id": "forget/0", "split": "forget", "tokens": 3, "nll_sum": 1.0}])
    with pytest.raises(InputError, match="line 1 lacks 'min_k'"):
        scoring.score(tmp_path / "model", other, stemmer=True)
    (tmp_path / "model" / records.VERBMEM).write_text("")
    with pytest.raises(InputError, match=r"verbmem\.jsonl: no records"):
        scoring.score(tmp_path / "model", None, stemmer=True)


def test_rescore_wants_the_reference_that_evaluate_had(tmp_path: Path) -> None:
    retrain = write_records(tmp_path / "retrain", [-2.0])
    write_records(tmp_path / "model", [-2.0])
    made = {"status": "ok", "settings": {"stemmer": True}}
    write_json(tmp_path / "model/manifest.json", made | {"inputs": {"retrain": "a digest"}})
    with pytest.raises(InputError, match="needs retrain"):
        scoring.rescore(tmp_path / "model", None)
    write_json(tmp_path / "model/manifest.json", made | {"inputs": {}})
    with pytest.raises(InputError, match="leave retrain out"):
        scoring.rescore(tmp_path / "model", retrain)
