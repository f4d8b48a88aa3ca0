"""The verdicts in print."""

import csv
import io
from dataclasses import replace
from pathlib import Path

from small_claims import NLL, claim, key, missing, number, pair_test
from small_text import unpadded

from qunlearn.analysis.claims import claims_csv, judge
from qunlearn.analysis.comparisons import Evidence
from qunlearn.analysis.summary import Summary
from qunlearn.report.claims_table import signs, write_claims

NUMBERS = {
    key("lora", "nf4"): number(60.0, 1), key("full", "nf4"): number(40.0, 1),
    key("lora", "rtn4"): number(50.0, 5, note="n < 10"), key("full", "rtn4"): number(50.0, 5),
    key("lora", "gptq4"): number(30.0, 1), key("full", "gptq4"): number(40.0, 1),
    key("lora", "fp4"): number(30.0, 1), key("full", "fp4"): missing(diverged=1),
    key("lora", "nf4", NLL): number(0.456, 0.02),
}  # fmt: skip
TESTS = pair_test(
    "lora", "full", Summary(20.0, 17.25, 22.5, 3, n=64, minimum_effect=3.125, p=0.0125)
)
WORSE = Summary(-10.0, -12.0, -8.0, 3, n=64, minimum_effect=3.0, p=0.001)
TESTS |= {(key("lora", "gptq4"), key("full", "gptq4")): WORSE}
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
    one_seed = {each: replace(own, seeds=1) for each, own in NUMBERS.items()}
    (row, *_) = csv.DictReader(io.StringIO(claims_csv(judge([claim("level")], Evidence(one_seed)))))
    assert (row["verdict"], row["p"]) == ("undecided", "one seed")


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
