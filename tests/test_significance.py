"""Which numbers of the main table stand out, and how each format shows it."""

from pathlib import Path

import pytest
from small_summaries import over_seeds

from qunlearn.analysis.evidence import better
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.metrics import Cell, Score
from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.labels import GOALS
from qunlearn.report.main_table import as_html, as_latex, as_markdown, main_table
from qunlearn.run.errors import InputError

HEADER = ",".join(TESTS_TABLE.columns)
TEST = "mini,news,adapters,utility,npo_gdr,lora,nf4,full,nf4,5,1,9,0.001,0.01,0.5,2,32,1,"


@pytest.fixture
def rivals() -> dict[Key, Summary]:
    """LoRA and FT at one precision: 20 and 10 on every metric, but -20 and 10 for PrivLeak."""
    scores = [
        Score(
            "mini",
            Cell.parse(f"news/npo_gdr/{adapter}/seed0/nf4"),
            metric,
            sign * value,
            sign * value - 1,
            sign * value + 1,
            32,
        )
        for adapter, value in (("lora", 20.0), ("full", 10.0))
        for metric in GOALS
        for sign in [-1 if (metric, adapter) == ("privleak", "lora") else 1]
    ]
    return over_seeds(scores)


@pytest.mark.parametrize(
    ("metric", "winner"),
    [("utility", "lora"), ("verbmem", "full"), ("privleak", "full"), ("nll_forget", "lora")],
)
def test_the_better_of_two_that_differ_stands_out(
    rivals: dict[Key, Summary], tmp_path: Path, metric: str, winner: str
) -> None:
    tests = tmp_path / "tests.csv"
    lines = [HEADER, TEST.replace("utility", metric)]
    tests.write_text("\n".join(lines) + "\n", encoding="utf-8")

    found = better(tests, rivals)

    assert found == {Key("news", "npo_gdr", winner, "nf4", metric)}
    table = main_table(rivals, found)
    assert as_markdown(table).count("**") == 2
    assert as_html(table).count("<b>") == as_latex(table).count(r"\boldmath") == 1
    assert "Bold: better than its rival" in as_markdown(table)


@pytest.mark.parametrize(
    "row",
    [
        TEST.replace(",0.01,", ",0.2,"),  # after Holm's correction it is chance
        TEST.replace(",0.001,0.01,", ",one seed,one seed,"),
        TEST.replace(",0.001,0.01,", ",undefined,undefined,"),
        TEST.replace("adapters", "quantization"),
        TEST.replace("utility", "auc"),  # not in the table
    ],
)
def test_what_does_not_differ_does_not_stand_out(
    rivals: dict[Key, Summary], tmp_path: Path, row: str
) -> None:
    (tmp_path / "tests.csv").write_text(f"{HEADER}\n{row}\n", encoding="utf-8")
    assert better(tmp_path / "tests.csv", rivals) == frozenset()


def test_a_test_of_what_the_summary_lacks_is_an_error(
    rivals: dict[Key, Summary], tmp_path: Path
) -> None:
    row = TEST.replace("nf4", "rtn4")
    (tmp_path / "tests.csv").write_text(f"{HEADER}\n{row}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"tests\.csv: .* is not in the summary"):
        better(tmp_path / "tests.csv", rivals)
