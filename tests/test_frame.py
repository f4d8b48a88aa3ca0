"""The checked tables: what is read is what was written, and broken files are refused."""

from collections.abc import Callable
from pathlib import Path

import pytest

from qunlearn.analysis.evidence import read_tests
from qunlearn.analysis.frame import METRICS_TABLE, SUMMARY_TABLE, TESTS_TABLE, Schema, columns
from qunlearn.analysis.metrics import read_metrics
from qunlearn.analysis.published import TABLE, read_table
from qunlearn.analysis.summary import summaries
from qunlearn.run.errors import InputError

METRIC = "mini,news,target,none,,bf16,auc,0.5,0,1,3"
SUMMARY = "mini,news,target,none,bf16,auc,0,0,1,9,1,0,0,"
TEST = "mini,news,adapters,utility,npo_gdr,lora,fp4,full,fp4,7,2,12,0.001,0.02,0.4,5,64,3,"
PUBLISHED = "news,ga_gdr,full,bf16,utility,50"
READERS: dict[str, tuple[Schema, Callable[[Path], object], str]] = {
    "metrics.csv": (METRICS_TABLE, read_metrics, METRIC),
    "summary.csv": (SUMMARY_TABLE, summaries, SUMMARY),
    "tests.csv": (TESTS_TABLE, read_tests, TEST),
    "table.csv": (TABLE, lambda path: read_table(path.parent), PUBLISHED),
}


@pytest.mark.parametrize(
    ("name", "rows", "complaint"),
    [
        ("metrics.csv", [METRIC.replace("0.5", "x")], r"line 2 does not parse \(.*'x'"),
        ("metrics.csv", [METRIC.replace("0.5", "nan")], r"line 2 does not parse \(value is nan"),
        ("metrics.csv", [METRIC.replace("0.5", "diverged")], "line 2 does not parse .*diverged, 0"),
        ("metrics.csv", [METRIC.replace("0.5", "")], "line 2 does not parse"),
        ("metrics.csv", [METRIC.replace(",3", ",3.5")], "line 2 does not parse"),
        ("metrics.csv", [METRIC, METRIC], "line 3 repeats news/target/none/bf16/auc; collect"),
        ("metrics.csv", ["mini,news"], "line 2 has 2 fields, not 11; collect the metrics again"),
        ("metrics.csv", [], "no rows; collect the metrics"),
        ("summary.csv", [SUMMARY.replace("auc,0", "auc,x")], "line 2 does not parse"),
        ("summary.csv", [SUMMARY, SUMMARY], "line 3 repeats news/target/none/bf16/auc; summarise"),
        ("summary.csv", ["a,b"], "line 2 has 2 fields, not 14"),
        ("tests.csv", [TEST.replace("0.02", "low")], r"line 2 does not parse \(.*'low'"),
        ("tests.csv", [TEST.replace("7,2,12", "diverged,2,12")], "line 2 does not parse"),
        ("table.csv", [PUBLISHED.replace("50", "5O")], "line 2 does not parse .*restore the"),
    ],
)
def test_a_broken_table_is_refused(
    tmp_path: Path, name: str, rows: list[str], complaint: str
) -> None:
    schema, read, _ = READERS[name]
    text = "\n".join([",".join(schema.columns), *rows]) + "\n"
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        read(tmp_path / name)


@pytest.mark.parametrize("name", READERS)
def test_every_table_has_its_own_columns(tmp_path: Path, name: str) -> None:
    schema, read, row = READERS[name]
    header = ",".join(schema.columns)
    with pytest.raises(InputError, match="no such file"):
        read(tmp_path / name)
    for text in ("", "a,b\n", row + "\n"):
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=f"the first line must be {header}"):
            read(tmp_path / name)
    (tmp_path / name).write_bytes(b"\xff")
    with pytest.raises(InputError, match="not UTF-8 at byte 0"):
        read(tmp_path / name)
    (tmp_path / name).write_text(f"{header}\n{row}\n")
    read(tmp_path / name)


def test_numbers_words_and_gaps_are_read_as_they_were_written(tmp_path: Path) -> None:
    schema = Schema(columns("name n:int value:float"), ("name",), "make it")
    schema.write(
        tmp_path / "a.csv",
        [["a,b", 3, -0.0], ["c", None, 1234567.89], ["d", 10_000_000, "undefined"]],
    )
    assert (tmp_path / "a.csv").read_text() == (
        'name,n,value\n"a,b",3,0\nc,,1.23457e+06\nd,10000000,undefined\n'
    )
    assert schema.read(tmp_path / "a.csv").values.tolist() == [
        ["a,b", 3, 0.0],
        ["c", None, 1234570.0],
        ["d", 10_000_000, "undefined"],
    ]
