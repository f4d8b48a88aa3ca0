"""The verdicts in print."""

import csv
import io
from dataclasses import replace
from pathlib import Path

from small_claims import a_pair, claim, key, missing, number
from small_text import unpadded

from qunlearn.analysis.claims import as_csv, judge
from qunlearn.analysis.evidence import Evidence
from qunlearn.analysis.verdicts import Finding
from qunlearn.report.claims_table import signs, write_claims

NLL = "reversion_nll_forget"
NUMBERS = {
    key("lora", "nf4"): number(60.0, 1), key("full", "nf4"): number(40.0, 1),
    key("lora", "rtn4"): number(50.0, 5, note="n < 10"), key("full", "rtn4"): number(50.0, 5),
    key("lora", "gptq4"): number(30.0, 1), key("full", "gptq4"): number(40.0, 1),
    key("lora", "fp4"): number(30.0, 1), key("full", "fp4"): missing(diverged=1),
    key("full", "nf4", NLL): number(0.456, 0.02),
}  # fmt: skip
TEST = Finding(20.0, 17.25, 22.5, 64, 3.125, 3, 0.0125)
WORSE = Finding(-10.0, -12.0, -8.0, 64, 3.0, 3, 0.001)
TESTS = a_pair("lora", "full", TEST)
TESTS |= {pair._replace(precision="gptq4"): WORSE for pair in TESTS}
JUDGED = judge([claim("level"), claim("reverts", "full", "")], Evidence(NUMBERS, TESTS))


def test_csv_has_a_row_a_place() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(JUDGED))))

    assert [row["verdict"] for row in rows[:4]] == [
        "supported", "undecided", "contradicted", "undecided",
    ]  # fmt: skip
    assert rows[0] == {
        "claim": "level", "corpus": "news", "objective": "npo_gdr", "scope": "four_bit",
        "precision": "nf4", "metric": "utility", "verdict": "supported", "value": "20",
        "ci_low": "17.25", "ci_high": "22.5", "p": "0.0125", "n": "64", "minimum_effect": "3.125",
        "reason": "the whole interval is above 0",
    }  # fmt: skip
    assert rows[1]["value"] == "0"
    assert rows[1]["reason"].endswith("n < 10")
    numbers = ("value", "ci_low", "ci_high", "p", "n", "minimum_effect")
    assert [rows[3][name] for name in numbers] == [""] * 6
    assert rows[3]["reason"] == "FT (fp32 masters) at FP4: diverged"


def test_one_seed_stands_where_a_p_would() -> None:
    numbers = {each: replace(found, seeds=1) for each, found in NUMBERS.items()}
    level, *_, reverts = judge([claim("level"), claim("reverts", "full", "")], Evidence(numbers))
    (row, _) = csv.DictReader(io.StringIO(as_csv([level, reverts])))
    assert (row["verdict"], row["p"]) == ("undecided", "one seed")


def test_signs_are_counted_and_tested() -> None:
    assert signs(JUDGED[:4]) == {"count": 1, "of": 3, "untied": 2, "p": 1.0}
    assert signs(JUDGED[3:4])["of"] == 0
    assert signs(JUDGED[:1] * 2)["p"] == 0.5
    kept = judge([claim("kept", "full")], Evidence(NUMBERS))
    assert (signs(kept)["count"], signs(kept)["of"]) == (0, 1)


def test_markdown_says_what_was_compared_and_why(tmp_path: Path) -> None:
    write_claims(JUDGED, JUDGED[:4], tmp_path, ["Learning rates: LoRA 0.0005."])
    text = unpadded((tmp_path / "claims.md").read_text(encoding="utf-8"))
    ours, theirs = text.split("# The same rule on the paper's table")

    assert (
        "| `level` | It is so. | supported in 1, contradicted in 1, undecided in 2 of 4 |" in ours
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
    assert "undecided in 2 of 4. The number is above 0 in 1 of 3.\n" in ours
    assert "(2 without ties), a count this uneven would arise by chance with p = 1 (" in theirs
    assert (tmp_path / "claims_published.csv").read_text() == as_csv(JUDGED[:4])
