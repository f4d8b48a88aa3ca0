"""Sums whose items are drawn for all of their terms together, on records worked out by hand."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from small_claims import key
from small_records import evaluate

from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.evidence import NO_COMMON_SEED, PairedSums, Term
from qunlearn.analysis.verdicts import Absent, Finding
from qunlearn.run.errors import InputError

# Utility of eight questions. Each variant has its own shift, the same for every question.
EASY = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
VARIANTS = {"full": {"bf16": 0.1, "nf4": -0.1}, "lora": {"bf16": 0.1, "nf4": 0.0}}


def cell(adapter: str, precision: str, seed: int = 0) -> str:
    return f"news/npo_gdr/{adapter}/seed{seed}/{precision}"


def shifted(by: float) -> tuple[float, ...]:
    return tuple(score + by for score in EASY)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    evaluate(tmp_path, "news/retrain/bf16")
    for name in ("news/target/bf16", "news/target/nf4"):
        evaluate(tmp_path, name, nll=(0.5,) * 2)
    for adapter, shifts in VARIANTS.items():
        for precision, shift in shifts.items():
            back = 1.0 if (adapter, precision) == ("full", "nf4") else 0.0
            utility, nll = shifted(shift), (2.5 - back,) * 2
            evaluate(tmp_path, cell(adapter, precision), utility=utility, nll=nll)
    return tmp_path


def sums(folder: Path, seeds: int = 1) -> PairedSums:
    names = [
        cell(adapter, name, seed)
        for adapter, shifts in VARIANTS.items()
        for name in shifts
        for seed in range(seeds)
    ]
    return PairedSums(Evaluations(folder, ["news/target/bf16", "news/target/nf4", *names]))


LEVEL = [Term(1, key("lora", "nf4")), Term(-1, key("full", "nf4"))]
DROP = [
    Term(1, key("full", "bf16")), Term(-1, key("lora", "bf16")),
    Term(-1, key("full", "nf4")), Term(1, key("lora", "nf4")),
]  # fmt: skip


@pytest.mark.parametrize(("terms", "value"), [(LEVEL, 10), (DROP, 10)], ids=["level", "drop"])
def test_what_questions_do_to_all_variants_alike_is_not_in_the_interval(
    folder: Path, terms: list[Term], value: float
) -> None:
    found = sums(folder)(terms, False)

    assert (found.value, found.low, found.high) == pytest.approx((value, value, value))
    assert found.n == 8


def of_seeds(folder: Path, shifts: Sequence[float]) -> PairedSums:
    """Seeds whose LoRA at NF4 has these shifts, give or take 0.02 an item; the rest alike."""
    for seed, shift in enumerate(shifts):
        for adapter, known in VARIANTS.items():
            for precision, same in known.items():
                own = shift if (adapter, precision) == ("lora", "nf4") else same
                noise = [0.02 * (-1) ** ((item + seed) // 2) for item in range(8)]
                utility = [x + y for x, y in zip(shifted(own), noise, strict=True)]
                evaluate(folder, cell(adapter, precision, seed), utility=utility)
    return sums(folder, len(shifts))


def test_three_seeds_that_agree_are_tested_and_two_are_not(folder: Path) -> None:
    found = of_seeds(folder, (0.01, 0.0, 0.02))(DROP, False)
    assert isinstance(found, Finding)
    assert (found.seeds, found.corrected) == (3, False)
    assert found.value == pytest.approx(11)
    assert found.p is not None and found.p < 0.01
    few = of_seeds(folder, (0.01, 0.0))(DROP, False)
    assert isinstance(few, Finding)
    assert (few.seeds, few.p) == (2, None)


def test_three_seeds_of_which_one_turns_round_do_not_show_a_difference(folder: Path) -> None:
    found = of_seeds(folder, (0.3, -0.5, 0.1))(LEVEL, False)
    assert isinstance(found, Finding)
    assert found.p is not None and found.p > 0.3
    assert found.minimum_effect is not None and found.minimum_effect > 50


def test_seeds_are_compared_with_themselves_and_gaps_are_left_out(folder: Path) -> None:
    """Of three seeds one variant diverged in the first and the other in the second."""
    found = of_seeds(folder, (0.0, 0.1, 0.2))
    evaluate(folder, cell("lora", "nf4", 0), status="diverged")
    evaluate(folder, cell("full", "nf4", 1), status="diverged")
    found = sums(folder, 3)
    level = found(LEVEL, False)
    assert isinstance(level, Finding)
    assert (level.seeds, level.p) == (1, None)
    assert level.value == pytest.approx(30)
    evaluate(folder, cell("full", "nf4", 2), status="diverged")
    assert sums(folder, 3)(LEVEL, False) == Absent(NO_COMMON_SEED)


def test_reversions_are_subtracted_draw_by_draw_and_not_tested(folder: Path) -> None:
    metric = "reversion_nll_forget"
    terms = [Term(1, key("full", "nf4", metric)), Term(-1, key("lora", "nf4", metric))]
    found = sums(folder)(terms, False)

    assert (found.value, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))  # of (2.5 - .5)
    assert found.p is None


def test_distances_from_zero_are_taken_of_each_term(folder: Path) -> None:
    terms = [Term(1, key("full", "nf4")), Term(-1, key("lora", "nf4"))]
    for adapter, utility in (("full", shifted(-1)), ("lora", shifted(0))):
        evaluate(folder, cell(adapter, "nf4"), utility=utility)
    found = sums(folder)(terms, True)

    assert found.value == pytest.approx(abs(45 - 100) - 45)
    assert found.high - found.low > 1  # |x| undoes the pairing: one rises where the other falls
    assert found.p is None


def test_seeds_are_averaged(folder: Path) -> None:
    for adapter, shift in (("full", -0.3), ("lora", 0.2)):
        evaluate(folder, cell(adapter, "nf4", seed=1), utility=shifted(shift))
    names = [cell(adapter, "nf4", seed) for adapter in ("full", "lora") for seed in (0, 1)]
    found = PairedSums(Evaluations(folder, names))(LEVEL, False)

    assert found.value == pytest.approx((10 + 50) / 2)
    assert (found.low, found.high) == pytest.approx((10, 50))  # the same seed of both is drawn


def test_models_of_other_items_are_not_subtracted(folder: Path) -> None:
    evaluate(folder, cell("lora", "nf4"), utility=(0.5, 0.5))

    with pytest.raises(InputError, match=r"not of the same items as in news/npo_gdr/lora"):
        sums(folder)(LEVEL, False)
