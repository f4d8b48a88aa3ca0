"""The verdicts in print."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from small_claims import a_pair, claim, key, missing, number

from qunlearn.analysis.claims import as_csv, judge
from qunlearn.analysis.evidence import Evidence
from qunlearn.analysis.verdicts import Finding
from qunlearn.report.claims_table import in_words, sign_test, signs_in_words, write_claims

NLL = "reversion_nll_forget"
NUMBERS = {
    key("lora", "nf4"): number(60.0, 1), key("full", "nf4"): number(40.0, 1),
    key("lora", "rtn4"): number(50.0, 5, note="n < 10"), key("full", "rtn4"): number(50.0, 5),
    key("lora", "gptq4"): number(30.0, 1), key("full", "gptq4"): number(40.0, 1),
    key("lora", "fp4"): number(30.0, 1), key("full", "fp4"): missing(diverged=1),
    key("full", "nf4", NLL): number(0.456, 0.02),
}  # fmt: skip
TESTS = a_pair("lora", "full", Finding(20.0, 17.25, 22.5, 64, 3.125, 3, 0.0125))
WORSE = Finding(-10.0, -12.0, -8.0, 64, 3.0, 3, 0.001)
TESTS |= {pair._replace(precision="gptq4"): WORSE for pair in TESTS}
CLAIMS = [claim("level"), claim("reverts", "full", "")]
JUDGED = judge(CLAIMS, Evidence(NUMBERS, TESTS))


def test_csv_has_a_row_a_place() -> None:
    rows = as_csv(JUDGED).splitlines()
    assert rows[:2] == [
        "claim,corpus,objective,scope,precision,metric,verdict,"
        "value,ci_low,ci_high,p,n,minimum_effect,reason",
        "level,news,npo_gdr,four_bit,nf4,utility,supported,"
        "20,17.25,22.5,0.0125,64,3.125,the whole interval is above 0",
    ]
    assert rows[2].startswith("level,news,npo_gdr,four_bit,rtn4,utility,undecided,0,")
    assert rows[2].endswith("; n < 10")
    assert ",gptq4,utility,contradicted,-10," in rows[3]
    assert rows[4].endswith(",fp4,utility,undecided,,,,,,,FT (fp32 masters) at FP4: diverged")

    numbers = {each: replace(found, seeds=1) for each, found in NUMBERS.items()}
    (row, *_) = csv.DictReader(io.StringIO(as_csv(judge(CLAIMS, Evidence(numbers)))))
    assert (row["verdict"], row["p"]) == ("undecided", "one seed")


def test_counts_and_signs_in_words() -> None:
    assert in_words(JUDGED[:4]) == "supported in 1 of 4, contradicted in 1, undecided in 2"
    assert in_words(JUDGED[:1]) == "supported in 1 of 1"
    assert in_words(JUDGED[2:4]) == "contradicted in 1 of 2, undecided in 1"
    assert signs_in_words(JUDGED[:4]) == "The number itself is above 0 in 1 of 3."
    assert signs_in_words(JUDGED[3:4]) == "No number."
    assert "without ties: 2), so uneven" in signs_in_words(JUDGED[:4], own_models=True)
    kept = judge([claim("kept", "full")], Evidence(NUMBERS))
    assert signs_in_words(kept) == "The number itself is below 0.1 in 0 of 1."


@pytest.mark.parametrize(
    ("count", "n", "p"),
    [(8, 8, 2 / 256), (0, 8, 2 / 256), (7, 8, 18 / 256), (5, 8, 186 / 256), (4, 8, 1), (1, 1, 1)],
)
def test_sign_test_by_hand(count: int, n: int, p: float) -> None:
    assert sign_test(count, n) == pytest.approx(p)


def test_markdown_says_what_was_compared_and_why(tmp_path: Path) -> None:
    write_claims(JUDGED, JUDGED[:4], tmp_path, ["Learning rates: LoRA 0.0005."])
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    ours, theirs = text.split("# The same rule on the paper's table")

    assert (
        "| `level` | It is so. | supported in 1 of 4, contradicted in 1, undecided in 2 |" in ours
    )
    assert "\nLearning rates: LoRA 0.0005.\n" in ours
    assert "* The number: LoRA minus FT (fp32 masters). Threshold: 0." in ours
    assert (
        "| NEWS | NPO+GDR | NF4 | Utility | 20.0 | 17.2 to 22.5 | 0.013 | 64 | 3.1 | supported "
        "| the whole interval is above 0 |"
    ) in ours
    assert "| NEWS | NPO+GDR | NF4 | NLL forget | 0.46 | 0.42 to 0.50 | – | 64 | 0.06 |" in ours
    assert "| FP4 | Utility | – | – | – | – | – | undecided |" in ours
    assert "added as if independent (in 1 of 3); n < 10 (in 1 of 3)." in ours
    assert "sign test" not in ours
    assert "(sign test)." in theirs
    assert (tmp_path / "claims_published.csv").read_text() == as_csv(JUDGED[:4])
