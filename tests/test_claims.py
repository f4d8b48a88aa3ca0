"""Claims judged on numbers that can be followed by hand."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from small_claims import a_pair, claim, key, missing, number

from qunlearn.analysis.claims import NOTHING_REVERTS, Judgement, judge, published_claims
from qunlearn.analysis.evidence import UNPAIRED, Evidence, Pair, scope_of
from qunlearn.analysis.summary import Key, Summary
from qunlearn.analysis.verdicts import Absent, Finding

NLL = "reversion_nll_forget"
BOTH = ("four_bit", "coarsest")
UNTESTED = "the whole interval is above 0, but it was not tested"
LEAK = {"metrics": ("privleak",)}


def only(
    kind: str,
    numbers: Mapping[Key, Summary],
    tests: Mapping[Pair, Finding | Absent] | None = None,
    **changes: object,
) -> Judgement:
    (found,) = judge([claim(kind, **changes)], Evidence(numbers, tests or {}))  # type: ignore[arg-type]
    return found


def finding(judgement: Judgement) -> Finding:
    assert isinstance(judgement.finding, Finding)
    return judgement.finding


def at_nf4(lora: Summary, full: Summary, metric: str = "utility") -> dict[Key, Summary]:
    return {key("lora", "nf4", metric): lora, key("full", "nf4", metric): full}


def test_level_subtracts_and_adds_the_errors() -> None:
    numbers = at_nf4(number(60, 3, note="one seed; n < 10"), number(40, 4, n=50, note="n < 10"))
    found = only("level", numbers)

    assert (found.verdict, found.reason) == ("undecided", UNTESTED)  # there are no items
    assert finding(found).value == 20
    assert finding(found).low == pytest.approx(20 - 1.96 * 5, abs=1e-3)  # sqrt(3^2 + 4^2)
    assert finding(found).n == 50
    assert finding(found).minimum_effect == pytest.approx(2.8016 * 5, abs=1e-3)
    assert finding(found).note == f"{UNPAIRED}; one seed; n < 10"
    no_spread = only("level", at_nf4(number(0, 0), number(0, 0)))
    assert (no_spread.verdict, finding(no_spread).minimum_effect) == ("undecided", None)


def test_drop_is_what_the_other_loses_minus_what_the_variant_loses() -> None:
    numbers = at_nf4(number(55), number(50))
    numbers |= {key("full", "bf16"): number(70), key("lora", "bf16"): number(60)}
    found = only("drop", numbers)

    assert finding(found).value == (70 - 50) - (60 - 55)
    assert finding(found).high == pytest.approx(15 + 1.96 * 2, abs=1e-3)  # sqrt(4 * 1^2)
    assert (found.verdict, found.reason) == ("undecided", UNTESTED)


@pytest.mark.parametrize(
    ("full", "lora", "value"),
    [(-60, -20, 40), (-20, -60, -40), (60, 20, 40), (-60, 20, 40), (60, -1, 59)],
)
def test_nearer_zero_compares_distances_on_either_side(
    full: float, lora: float, value: float
) -> None:
    found = only("nearer_zero", at_nf4(number(lora), number(full), "privleak"), **LEAK)
    assert finding(found).value == value
    side = "above" if value > 0 else "below"
    assert found.reason == f"the whole interval is {side} 0, but it was not tested"


@pytest.mark.parametrize(
    ("kind", "lora", "full", "test", "value", "verdict"),
    [
        # Whichever way round the test was made.
        ("level", 60, 40, ("full", "lora", -20), 20, "supported"),
        ("level", 60, 40, ("lora", "full", 20), 20, "supported"),
        # LoRA minus full is -10: further from 0 where both are below it, nearer where above.
        ("nearer_zero", -60, -50, ("lora", "full", -10), -10, "contradicted"),
        ("nearer_zero", 40, 50, ("lora", "full", -10), 10, "supported"),
        # A number near 0 is not left to the signed test: 30 minus 1.
        ("nearer_zero", 1, -30, ("lora", "full", 31), 29, "undecided"),
    ],
)
def test_a_paired_test_is_preferred_and_turned(
    kind: str, lora: float, full: float, test: tuple[str, str, float], value: float, verdict: str
) -> None:
    a, b, difference = test
    metric = "utility" if kind == "level" else "privleak"
    tested = Finding(difference, difference - 2, difference + 1, 64, 7, 3, 0.01, "n < 10")
    numbers = at_nf4(number(lora, 9), number(full, 9), metric)
    found = only(kind, numbers, a_pair(a, b, tested, metric), metrics=(metric,))

    assert (finding(found).value, found.verdict) == (value, verdict)
    if verdict != "undecided":
        turned = value != difference
        ends = (value - 1, value + 2) if turned else (value - 2, value + 1)
        assert finding(found) == Finding(value, *ends, 64, 7, 3, 0.01, "n < 10")


def test_with_one_seed_a_difference_is_undecided_and_a_reversion_is_of_one_run() -> None:
    numbers = at_nf4(replace(number(60), seeds=1), number(40))
    numbers[key("lora", "nf4", NLL)] = replace(number(0.0, 0.01), seeds=1)
    level, kept = judge([claim("level"), claim("kept")], Evidence(numbers))
    assert (level.verdict, level.reason) == ("undecided", f"{UNTESTED}: one seed")
    assert (kept.verdict, kept.reason) == (
        "supported",
        "the whole interval is below 0.1, over the items of one run",
    )


@pytest.mark.parametrize(
    ("low", "high", "kept", "reverts"),
    [
        (-0.05, 0.09, "supported", "contradicted"),
        (0.11, 0.9, "contradicted", "supported"),
        (0.05, 0.2, "undecided", "undecided"),
        (0.0, 0.0, "supported", "contradicted"),
    ],
)
def test_kept_and_reverts_are_mirror_images(
    low: float, high: float, kept: str, reverts: str
) -> None:
    numbers = {key("lora", "nf4", NLL): Summary((low + high) / 2, low, high, 1, 0, n=32)}

    assert only("kept", numbers).verdict == kept
    found = only("reverts", numbers)
    assert found.verdict == reverts
    assert (finding(found).low, finding(found).high) == (low, high)  # its own, not made normal


def test_a_variant_reverts_more_than_another_beyond_the_margin() -> None:
    numbers = {
        key("full_bf16", "nf4", NLL): number(0.9, 0.03),
        key("full", "nf4", NLL): number(0.0, 0.04),
    }
    found = only("more", numbers, variant="full_bf16")
    other = only("more", numbers, variant="full", against="full_bf16")

    assert found.verdict == "supported"
    assert finding(found).low == pytest.approx(0.9 - 1.96 * 0.05, abs=1e-3)
    assert other.verdict == "contradicted"  # something reverts here, but not what was claimed


def test_where_nothing_reverts_an_explanation_stays_undecided() -> None:
    numbers = {
        key("full_bf16", "nf4", NLL): number(0.02, 0.01),
        key("full", "nf4", NLL): number(0.0, 0.01),
        # Another precision or metric is another grid or forgetting.
        key("full_bf16", "rtn3g64", NLL): number(0.9, 0.01),
        key("full_bf16", "nf4", "reversion_verbmem"): number(0.9, 0.01),
    }
    found = only("more", numbers, variant="full_bf16")
    assert (found.verdict, found.reason) == ("undecided", NOTHING_REVERTS)

    numbers = {key("full", "nf4", NLL): number(0, 0.01), key("full", "rtn3", NLL): number(0, 0.01)}
    grows = {"variant": "full", "against": "", "scopes": ("coarsest",)}
    assert only("grows", numbers, **grows).verdict == "undecided"
    numbers[key("lora", "rtn3", NLL)] = number(0.5, 0.01)
    assert only("grows", numbers, **grows).verdict == "contradicted"


def test_growth_compares_each_coarser_grid_with_each_of_four_bits() -> None:
    numbers = {
        key("full", name, NLL): number(value, 0.01)
        for name, value in {"bf16": 0, "int8": 0, "nf4": 0.1, "rtn4": 0.75, "rtn3g64": 0.85}.items()
    }
    nf4, rtn4 = judge([claim("grows", "full", "", scopes=("coarsest",))], Evidence(numbers))

    assert (nf4.place.precision, nf4.verdict) == ("nf4 to rtn3g64", "supported")
    assert finding(nf4).value == pytest.approx(0.75)
    assert (rtn4.place.precision, rtn4.verdict) == ("rtn4 to rtn3g64", "undecided")


@pytest.mark.parametrize(
    ("kind", "variant", "numbers", "reason"),
    [
        (
            "reverts", "lora", {key("lora", "nf4", NLL): missing(diverged=1)},
            "LoRA at NF4: diverged",
        ),
        (
            "reverts", "lora", {key("lora", "nf4", NLL): missing(undefined=1)},
            "LoRA at NF4: undefined, too little was forgotten for anything to come back",
        ),
        (
            "more", "lora_matched", {key("full", "nf4", NLL): number(0)},
            "controls were not run: no number for LoRA at FT's norm at NF4",
        ),
        (
            "more", "lora_scaled0.5", {key("full", "nf4", NLL): number(0)},
            "controls were not run: no number for LoRA × 0.5 at NF4",
        ),
        (
            "level", "lora", {key("lora", "nf4"): number(0)},
            "no number for FT (fp32 masters) at NF4",
        ),
        (
            "drop", "lora", {key("lora", "nf4"): number(0), key("full", "nf4"): number(0)},
            "no number for FT (fp32 masters) at bf16",
        ),
        ("level", "lora", {key("lora", "bf16"): number(0)}, "no precision of 4 bits was run"),
    ],
)  # fmt: skip
def test_what_is_missing_leaves_a_claim_undecided(
    kind: str, variant: str, numbers: dict[Key, Summary], reason: str
) -> None:
    found = only(kind, numbers, variant=variant)
    assert (found.verdict, found.reason) == ("undecided", reason)


def test_a_test_of_a_diverged_model_is_no_number() -> None:
    tests = a_pair("lora", "full", Absent("the difference is diverged"))
    found = only("level", at_nf4(number(60), missing(diverged=1)), tests)
    assert (found.verdict, found.reason) == ("undecided", "the difference is diverged")


def test_every_corpus_objective_precision_and_metric_is_a_place_of_its_own() -> None:
    numbers = {
        Key(corpus, objective, "lora", precision, NLL): number(0, 0.01)
        for corpus in ("news", "books")
        for objective in ("target", "npo_gdr", "npo_klr")
        for precision in ("bf16", "nf4", "gptq4", "rtn3g64")
    }
    metrics = (NLL, "reversion_verbmem")
    found = judge([claim("kept", scopes=BOTH, metrics=metrics)], Evidence(numbers))

    assert len(found) == 2 * 2 * 3 * 2
    assert {judgement.place.objective for judgement in found} == {"npo_gdr", "npo_klr"}
    assert [judgement.place.precision for judgement in found[:6:2]] == ["nf4", "gptq4", "rtn3g64"]
    assert [judgement.place.scope for judgement in found[:6:2]] == [*BOTH[:1] * 2, BOTH[1]]


@pytest.mark.parametrize(
    ("scope", "precisions"),
    [
        (None, ["bf16", "int8", "rtn5", "rtn3g64m", "rtn4m"]),
        ("four_bit", ["nf4", "fp4", "gptq4", "rtn4g128"]),
        ("coarsest", ["rtn3", "rtn3g64", "gptq3"]),
    ],
)
def test_scopes(scope: str | None, precisions: list[str]) -> None:
    assert {scope_of(precision) for precision in precisions} == {scope}


@pytest.mark.parametrize(
    ("books", "raw", "corrected", "verdict"),
    [
        (True, [0.04, 0.02, 0.03], [0.04, 0.04, 0.03], "supported"),
        (False, [0.03, 0.03], [0.06, 0.06], "undecided"),
    ],
)
def test_tests_of_a_claim_itself_are_corrected_within_a_corpus(
    books: bool, raw: list[float], corrected: list[float], verdict: str
) -> None:
    numbers = {
        Key(corpus, "npo_gdr", adapter, precision, "utility"): number(0)
        for corpus, names in (("news", ("nf4", "rtn4")), *([("books", ("nf4",))] if books else []))
        for adapter in ("full", "lora")
        for precision in ("bf16", *names)
    }
    ps = iter(raw)
    paired = Evidence(
        numbers, {}, lambda terms, absolute: Finding(5, 1, 9, 64, 5, 3, next(ps), corrected=False)
    )
    found = judge([claim("drop")], paired)
    assert [finding(each).p for each in found] == pytest.approx(corrected)
    assert {each.verdict for each in found} == {verdict}


def test_reversion_is_not_asked_of_the_published_table() -> None:
    wanted = [claim("level", scopes=BOTH), claim("kept"), claim("drop", scopes=("coarsest",))]
    (kept,) = published_claims(wanted)
    assert (kept.kind, kept.scopes) == ("level", ("four_bit",))
