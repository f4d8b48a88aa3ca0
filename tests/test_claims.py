"""Claims judged on numbers that can be followed by hand, and the verdicts in print."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from small_summaries import NLL, claim, key, missing, number, unpadded

from qunlearn.analysis.cells import REVERSIONS
from qunlearn.analysis.claims import (
    NOTHING_REVERTS,
    Judgement,
    claims_csv,
    decide,
    judge,
    published_claims,
    read_claims,
)
from qunlearn.analysis.comparisons import UNPAIRED, Evidence, absent
from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.names import METRICS
from qunlearn.report.claims_table import signs, write_claims
from qunlearn.run.errors import InputError

ABOVE, BELOW = "the whole interval is above 0", "the whole interval is below 0"
UNTESTED = "but it was not tested"
CHANCE = "but p is above 0.05 after Holm's correction"
BOTH = ("four_bit", "coarsest")
Tests = Mapping[tuple[Key, Key], Summary]


def only(name: str, numbers: Mapping[Key, Summary], tests: Tests | None = None) -> Judgement:
    metrics = {"metrics": ("privleak",)} if name == "nearer_zero" else {}
    (found,) = judge([claim(name, **metrics)], Evidence(numbers, tests or {}))
    return found


def at_nf4(lora: Summary, full: Summary, metric: str = "utility") -> dict[Key, Summary]:
    return {key("lora", "nf4", metric): lora, key("full", "nf4", metric): full}


def found(low: float, high: float, p: float | None = None, seeds: int = 3) -> Summary:
    return Summary((low + high) / 2, low, high, seeds, n=32, minimum_effect=0.5, p=p)


@pytest.mark.parametrize(
    ("name", "finding", "verdict", "reason"),
    [
        ("level", found(0.1, 2, p=0.05), "supported", ABOVE),
        ("level", found(-2, -0.1, p=0.01), "contradicted", BELOW),
        ("level", found(-1, 2, p=0.001), "undecided", "the interval holds 0"),
        ("level", found(0, 0), "undecided", "the interval holds 0"),
        ("level", found(0.1, 2, p=0.051), "undecided", f"{ABOVE}, {CHANCE}"),
        ("level", found(-2, -0.1, p=0.2), "undecided", f"{BELOW}, {CHANCE}"),
        ("level", found(0.1, 2), "undecided", f"{ABOVE}, {UNTESTED}"),
        ("level", found(0.1, 2, seeds=1), "undecided", f"{ABOVE}, {UNTESTED}: one seed"),
        ("level", found(0.1, 2, seeds=2), "undecided", f"{ABOVE}, {UNTESTED}: two seeds"),
        ("level", absent("LoRA at NF4: diverged"), "undecided", "LoRA at NF4: diverged"),
        ("reverts", found(0.2, 0.9), "supported", f"{ABOVE}.1"),
        ("reverts", found(0, 0), "contradicted", f"{BELOW}.1"),
        ("reverts", found(0.2, 1, seeds=1), "supported", f"{ABOVE}.1, over the items of one run"),
        ("keeps", found(0.2, 0.9), "contradicted", f"{ABOVE}.1"),
        ("keeps", found(-0.1, 0.09), "supported", f"{BELOW}.1"),
        ("keeps", found(0.05, 0.9), "undecided", "the interval holds 0.1"),
    ],
)
def test_each_branch(name: str, finding: Summary, verdict: str, reason: str) -> None:
    assert decide(claim(name), finding) == (verdict, reason)


def test_a_difference_subtracts_and_adds_the_errors() -> None:
    level = only("level", at_nf4(number(60, 3, note="one seed; n < 10"), number(40, 4, n=50)))
    own = level.finding
    assert (level.verdict, level.reason) == ("undecided", f"{ABOVE}, {UNTESTED}")  # no items
    assert (own.value, own.n, own.note) == (20, 50, f"{UNPAIRED}; one seed; n < 10")
    assert own.low == pytest.approx(20 - 1.96 * 5, abs=1e-3)  # sqrt(3^2 + 4^2)
    assert own.minimum_effect == pytest.approx(2.8016 * 5, abs=1e-3)
    assert only("level", at_nf4(number(0, 0), number(0, 0))).finding.minimum_effect is None


@pytest.mark.parametrize(
    ("name", "lora", "full", "difference", "value", "verdict"),
    [
        ("level", 60, 40, 20, 20, "supported"),
        # LoRA minus full is -10: further from 0 where both are below it, nearer where above.
        ("nearer_zero", -60, -50, -10, -10, "contradicted"),
        ("nearer_zero", 40, 50, -10, 10, "supported"),
        # A number near 0 is not left to the signed test: 30 minus 1.
        ("nearer_zero", 1, -30, 31, 29, "undecided"),
    ],
)
def test_a_paired_test_is_preferred_and_turned(
    name: str, lora: float, full: float, difference: float, value: float, verdict: str
) -> None:
    metric = "utility" if name == "level" else "privleak"
    first, second = key("lora", "nf4", metric), key("full", "nf4", metric)
    tests = {
        pair: Summary(sign * difference, sign * difference - 2, sign * difference + 2, 3, p=0.01)
        for pair, sign in (((first, second), 1), ((second, first), -1))
    }
    own = only(name, at_nf4(number(lora, 9), number(full, 9), metric), tests)
    assert (own.finding.value, own.verdict) == (value, verdict)
    assert own.finding.p == (0.01 if verdict != "undecided" else None)


def test_one_reversion_has_its_own_interval() -> None:
    numbers = {key("lora", "nf4", NLL): Summary(0.2, 0.11, 0.9, 1, n=32)}  # not made normal
    own = only("reverts", numbers)
    assert (own.finding.low, own.finding.high, own.verdict) == (0.11, 0.9, "supported")
    assert only("keeps", numbers).verdict == "contradicted"


def test_where_nothing_reverts_an_explanation_stays_undecided() -> None:
    numbers = {
        key("full_bf16", "nf4", NLL): number(0.02, 0.01),
        key("full", "nf4", NLL): number(0.0, 0.01),
        # Another precision or metric is another grid or forgetting.
        key("full_bf16", "rtn3g64", NLL): number(0.9, 0.01),
        key("full_bf16", "nf4", "reversion_verbmem"): number(0.9, 0.01),
    }
    more = only("more", numbers)
    assert (more.verdict, more.reason) == ("undecided", NOTHING_REVERTS)
    numbers[key("lora", "nf4", NLL)] = number(0.5, 0.01)
    assert only("more", numbers).verdict == "contradicted"
    numbers[key("full_bf16", "nf4", NLL)] = number(0.9, 0.03)
    assert only("more", numbers).verdict == "supported"


def test_growth_compares_each_coarser_grid_with_each_of_four_bits() -> None:
    numbers = {
        key("full", name, NLL): number(value, 0.01)
        for name, value in {"bf16": 0, "int8": 0, "nf4": 0.1, "rtn4": 0.75, "rtn3g64": 0.85}.items()
    }
    judged = judge([claim("grows")], Evidence(numbers))
    assert [(own.place.grids, own.verdict) for own in judged] == [
        (["nf4", "rtn3g64"], "supported"),
        (["rtn4", "rtn3g64"], "undecided"),
    ]
    assert judged[0].finding.value == pytest.approx(0.75)
    assert "nf4 to rtn3g64" in claims_csv(judged)


@pytest.mark.parametrize(
    ("name", "numbers", "reason"),
    [
        ("reverts", {key("lora", "nf4", NLL): missing(diverged=1)}, "LoRA at NF4: diverged"),
        ("reverts", {key("lora", "nf4", NLL): missing(undefined=1)}, "LoRA at NF4: undefined, too"),
        ("level", {key("lora", "nf4"): number(0)}, "no number for FT (fp32 masters) at NF4"),
        ("drop", at_nf4(number(0), number(0)), "no number for FT (fp32 masters) at bf16"),
        ("level", {key("lora", "bf16"): number(0)}, "no precision of 4 bits was run"),
    ],
)
def test_what_is_missing_is_undecided(name: str, numbers: dict[Key, Summary], reason: str) -> None:
    own = only(name, numbers)
    assert (own.verdict, own.reason[: len(reason)]) == ("undecided", reason)


def test_every_corpus_objective_precision_and_metric_is_a_place_of_its_own() -> None:
    numbers = {
        Key(corpus, objective, "lora", precision, NLL): number(0, 0.01)
        for corpus in ("news", "books")
        for objective in ("target", "npo_gdr", "npo_klr")
        for precision in ("bf16", "nf4", "gptq4", "rtn3g64")
    }
    metrics = (NLL, "reversion_verbmem")
    judged = judge([claim("keeps", scopes=BOTH, metrics=metrics)], Evidence(numbers))
    assert len(judged) == 2 * 2 * 3 * 2
    assert {own.place.objective for own in judged} == {"npo_gdr", "npo_klr"}
    assert [own.place[2:4] for own in judged[:6:2]] == [
        ("four_bit", "nf4"), ("four_bit", "gptq4"), ("coarsest", "rtn3g64"),
    ]  # fmt: skip


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
    own = Summary(5, 1, 9, 3, corrected=False)
    paired = Evidence(numbers, {}, lambda terms, distance: replace(own, p=next(ps)))
    judged = judge([claim("drop")], paired)
    assert [each.finding.p for each in judged] == pytest.approx(corrected)
    assert {each.verdict for each in judged} == {verdict}


def test_reversion_is_not_judged_on_the_published_table() -> None:
    wanted = [claim("level", scopes=BOTH), claim("keeps"), claim("drop", scopes=("coarsest",))]
    (kept,) = published_claims(wanted)
    assert (kept.id, kept.scopes) == ("level", ("four_bit",))


def test_the_projects_claims_are_about_known_numbers() -> None:
    claims = read_claims(ROOT / "resources/claims.yaml")
    assert len({own.id for own in claims}) == len(claims)
    assert {metric for own in claims for metric in own.metrics} <= {*METRICS, *REVERSIONS}
    assert {(own.reversion, own.threshold) for own in claims} == {(False, 0), (True, 0.1)}
    assert {len(own.number) for own in claims} == {1, 2, 4}


def test_a_malformed_claim_is_refused(tmp_path: Path) -> None:
    entries = yaml.safe_load((ROOT / "resources/claims.yaml").read_text("utf-8"))["claims"]
    (tmp_path / "a.yaml").write_text(yaml.safe_dump({"claims": [entries[0] | {"scopes": ["x"]}]}))
    with pytest.raises(InputError, match=r"claims\.0\.scopes\.0"):
        read_claims(tmp_path / "a.yaml")


# --- In print ----------------------------------------------------------------------------------

NUMBERS = {
    key("lora", "nf4"): number(60.0, 1), key("full", "nf4"): number(40.0, 1),
    key("lora", "rtn4"): number(50.0, 5, note="n < 10"), key("full", "rtn4"): number(50.0, 5),
    key("lora", "gptq4"): number(30.0, 1), key("full", "gptq4"): number(40.0, 1),
    key("lora", "fp4"): number(30.0, 1), key("full", "fp4"): missing(diverged=1),
    key("lora", "nf4", NLL): number(0.456, 0.02),
}  # fmt: skip
PAIRED = {
    "nf4": Summary(20.0, 17.25, 22.5, 3, n=64, minimum_effect=3.125, p=0.0125),
    "gptq4": Summary(-10.0, -12.0, -8.0, 3, n=64, minimum_effect=3.0, p=0.001),
}
TESTS = {(key("lora", name), key("full", name)): own for name, own in PAIRED.items()}
JUDGED = judge([claim("level"), claim("reverts")], Evidence(NUMBERS, TESTS))


def test_csv_has_a_row_a_place() -> None:
    rows = list(csv.DictReader(io.StringIO(claims_csv(JUDGED))))
    verdicts = ["supported", "undecided", "contradicted", "undecided"]
    assert [row["verdict"] for row in rows[:4]] == verdicts
    assert list(rows[0].values()) == [
        *("level", "news", "npo_gdr", "four_bit", "nf4", "utility", "supported"),
        *("20", "17.25", "22.5", "0.0125", "64", "3.125", "the whole interval is above 0"),
    ]
    assert rows[1]["reason"].endswith("n < 10")
    assert list(rows[3].values())[7:] == [""] * 6 + ["FT (fp32 masters) at FP4: diverged"]


def test_signs_are_counted_and_tested() -> None:
    assert signs(JUDGED[:4]) == {"count": 1, "of": 3, "untied": 2, "p": 1.0}
    assert signs(JUDGED[3:4])["of"] == 0
    assert signs(JUDGED[:1] * 2)["p"] == 0.5
    kept = judge([claim("keeps")], Evidence(NUMBERS))
    assert (signs(kept)["count"], signs(kept)["of"]) == (0, 1)


def test_markdown_says_what_was_compared_and_why(tmp_path: Path) -> None:
    write_claims(JUDGED, JUDGED[:4], tmp_path, ["Learning rates: LoRA 0.0005."])
    text = unpadded((tmp_path / "claims.md").read_text(encoding="utf-8"))
    ours, theirs = text.split("# The same rule on the paper's table")
    for words in (
        "| `level` | It is so. | supported in 1, contradicted in 1, undecided in 2 of 4 |",
        "\nLearning rates: LoRA 0.0005.\n",
        "* The number: LoRA minus FT (fp32 masters). Threshold: 0.",
        "* The number: reversion of LoRA. Threshold: 0.1.",
        "| NEWS | NPO+GDR | NF4 | Utility | 20.0 | 17.2 to 22.5 | 0.013 | 64 | 3.1 | supported |",
        "| NEWS | NPO+GDR | NF4 | NLL forget | 0.46 | 0.42 to 0.50 | – | 64 | 0.06 |",
        "| FP4 | Utility | – | – | – | – | – | undecided |",
        "added as if independent (in 1 of 3); n < 10 (in 1 of 3).",
    ):
        assert words in ours
    assert "undecided in 2 of 4. The number is above 0 in 1 of 3.\n" in ours
    assert "(2 without ties), a count this uneven would arise by chance with p = 1 (" in theirs
    assert (tmp_path / "claims_published.csv").read_text() == claims_csv(JUDGED[:4])
