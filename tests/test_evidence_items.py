"""Metrics as items: by hand, and drawn again."""

from pathlib import Path

import numpy as np
import pytest
from small_records import evaluate

from qunlearn.analysis.cells import Evaluations
from qunlearn.evaluate import records
from qunlearn.evaluate.definitions import DEFINITIONS, likelihood, membership, privleak
from qunlearn.experiment.names import METRICS
from qunlearn.run.errors import InputError
from qunlearn.statistics.bootstrap import item_draws
from qunlearn.statistics.items import difference, mean, value


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


def test_every_metric_by_hand(tmp_path: Path) -> None:
    evaluate(tmp_path, "news/retrain/bf16", forget=(-1, -3), holdout=(-2, -2))
    evaluate(
        tmp_path,
        "news/target/nf4",
        rouge=(0.25, 0.75, 1.0, 0.0),
        utility=(0.5,),
        nll=(1.0, 4.0),
        forget=(-1, -3),
        holdout=(-2, -4),
    )
    read = Evaluations(tmp_path, ["news/target/nf4"])

    found = {metric: read.items("news/target/nf4", metric) for metric in METRICS}
    assert tuple(DEFINITIONS) == METRICS

    assert {metric: value(items) for metric, items in found.items() if items} == pytest.approx(
        {
            "verbmem": 50.0,
            "knowmem": 50.0,
            "privleak": -50.0,
            "utility": 50.0,
            "auc": 0.25,  # -2 beats -3; everything else loses
            "nll_forget": 2.5,
            "nll_retain": 2.5,
        }
    )
    assert {metric: items.sizes for metric, items in found.items() if items} == {
        "verbmem": (4,),
        "knowmem": (4,),
        "privleak": (2, 2),
        "utility": (1,),
        "auc": (2, 2),
        "nll_forget": (2,),
        "nll_retain": (2,),
    }


def test_a_draw_weighs_the_items() -> None:
    assert mean("ab", [10, 30]).draw([np.array([[1.0, 0.0], [0.25, 0.75]])]).tolist() == [10, 25]
    ratio = likelihood([{**text, "nll_sum": 12.0 - text["tokens"]} for text in texts([0, 0], [])],
                       "forget")  # fmt: skip
    assert ratio.draw([np.array([[0.5, 0.5], [0.0, 1.0]])]).tolist() == [21 / 3, 10 / 2]
    pairs = membership(texts([-1, -3], [-2, -4]))
    assert pairs.draw([np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]])]).tolist() == [1.0]
    assert pairs.draw([np.array([[0.5, 0.5]]), np.array([[1.0, 0.0]])]).tolist() == [0.5]


def test_an_auc_knows_scores_by_their_ranks_in_their_own_model() -> None:
    """Two models that rank all texts alike are the same to it, whatever their scales."""
    scores = membership(texts([-1, -3, -2], [-2, -5]))
    scaled = membership(texts([-10, -30, -20], [-20, -50]))
    assert value(scores) == (0 + 0.5 + 0 + 0 + 1 + 0) / 6
    assert all(map(np.array_equal, scores.groups, scaled.groups))


def test_differences_are_drawn_together_and_may_be_nested() -> None:
    """What all answers share cancels, draw by draw; what a change shares does so too."""
    noise = np.random.default_rng(0).normal(size=20)
    before, after = mean(range(20), noise), mean(range(20), noise + 3)
    change = difference(after, before)
    assert item_draws(change) == pytest.approx(3.0)
    assert change.sizes == (20,) and change.ids == tuple(range(20))
    assert value(difference(change, difference(before, after))) == pytest.approx(6.0)


def test_the_units_of_a_ratio_have_its_value_and_its_error() -> None:
    rng = np.random.default_rng(1)
    items = [
        {"id": i, "split": "forget", "tokens": n, "nll_sum": n * rng.normal(3.0, 0.5)}
        for i, n in enumerate(rng.integers(20, 60, size=200).tolist())
    ]
    ratio = likelihood(items, "forget")
    assert ratio.units is not None
    units = ratio.units(ratio.groups)
    assert units.mean() == pytest.approx(value(ratio))
    assert units.std() / np.sqrt(200) == pytest.approx(item_draws(ratio).std(), rel=0.05)


def test_a_draw_in_which_retrain_has_an_auc_of_0_has_no_privleak() -> None:
    retrain = texts([-1, -3], [-2])
    found = privleak(texts([-3, -1], [-2]), retrain)
    each = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
    assert found.draw([each, np.ones((3, 1))]) == pytest.approx([np.nan, -100.0, 0.0], nan_ok=True)
    with pytest.raises(InputError, match="AUC of forget against holdout is 0"):
        privleak(retrain, texts([-1, -1], [-2]))


def test_a_reference_of_other_texts_is_an_error(tmp_path: Path) -> None:
    evaluate(tmp_path, "news/retrain/bf16", holdout=(-2,))
    evaluate(tmp_path, "news/target/nf4")
    read = Evaluations(tmp_path, ["news/target/nf4"])
    with pytest.raises(
        InputError, match=r"news/target/nf4.*not of the same items as in news/retrain"
    ):
        read.items("news/target/nf4", "privleak")


def test_each_seed_has_its_own_reference_where_there_is_one(tmp_path: Path) -> None:
    """A retrain that ranks the texts as the model does makes its PrivLeak 0."""
    cells = [f"news/npo/lora/seed{seed}/nf4" for seed in (0, 1)]
    for seed, forget in enumerate([(-1, -3), (-3, -5)]):
        evaluate(tmp_path, f"news/retrain/seed{seed}/bf16", forget=forget)
        evaluate(tmp_path, cells[seed], forget=forget)
    evaluate(tmp_path, "news/retrain/bf16", forget=(-4, -4))

    def found(*more: str) -> list[float]:
        read = Evaluations(tmp_path, [*cells, *more])
        return [value(items) for cell in cells if (items := read.items(cell, "privleak"))]

    assert found("news/retrain/seed0/bf16", "news/retrain/seed1/bf16") == pytest.approx([0, 0])
    assert found("news/retrain/bf16") == pytest.approx([-200 / 3, 0.0])  # .25 and .75 to .75
