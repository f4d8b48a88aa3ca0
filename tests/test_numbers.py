"""From made-up evaluations to metrics.csv and summary.csv: values, intervals, words and notes."""

from pathlib import Path

import pytest
from small_records import evaluate

from qunlearn.analysis import summary
from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.frame import METRICS_TABLE, read
from qunlearn.experiment.names import METRICS, Cell
from qunlearn.run.csvfile import write_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_jsonl, write_jsonl

FORGET = [f"reversion_{name}" for name in ("verbmem", "knowmem", "privleak", "nll_forget")]
SEEDS = [f"news/npo_gdr/lora/seed{seed}" for seed in range(3)]
REFERENCES = ["news/target/bf16", "news/target/nf4", "news/retrain/bf16", "news/retrain/nf4"]
CELLS = REFERENCES + [f"{model}/{precision}" for model in SEEDS for precision in ("bf16", "nf4")]
ITEMS = 12
SPREAD = [0.01 * i for i in range(ITEMS)]


def scored(
    folder: Path, cell: str, rouge: float, nll: float, min_k: float, status: str = "ok"
) -> None:
    """A cell of twelve items of every kind, spread alike in every cell."""
    evaluate(
        folder,
        cell,
        rouge=[rouge + x for x in SPREAD],
        nll=[nll + x for x in SPREAD],
        forget=[min_k + x for x in SPREAD],
        holdout=[-4.0 + x for x in SPREAD],
        status=status,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for precision in ("bf16", "nf4"):
        scored(tmp_path, f"news/target/{precision}", rouge=0.8, nll=0.5, min_k=-1.0)
        scored(tmp_path, f"news/retrain/{precision}", rouge=0.1, nll=5.0, min_k=-4.0)
    for index, model in enumerate(SEEDS):
        scored(tmp_path, f"{model}/bf16", rouge=0.2, nll=3.5, min_k=-4.005)
        scored(tmp_path, f"{model}/nf4", rouge=0.2 + 0.1 * index, nll=2.0, min_k=-4.035)
    return tmp_path


def key(metric: str, model: str = "npo_gdr/lora", precision: str = "nf4") -> summary.Key:
    return summary.Key("news", *model.split("/"), precision, metric)


def found_in(folder: Path, cells: list[str] = CELLS) -> dict[summary.Key, summary.Summary]:
    return summary.summarise(Evaluations(folder, cells))


def scores_in(folder: Path, cell: str = f"{SEEDS[1]}/nf4") -> dict[str, summary.Summary]:
    return {
        metric: own for (_, metric), own in summary.collect(Evaluations(folder, [cell])).items()
    }


def test_metrics_csv_has_a_row_a_metric_and_reads_back(folder: Path, tmp_path: Path) -> None:
    scored(folder, f"{SEEDS[2]}/nf4", 0.9, 9.0, 9.0, status="diverged")
    scores = summary.collect(Evaluations(folder, CELLS))
    summary.write_metrics(tmp_path / "metrics.csv", "mini", scores)
    lines = (tmp_path / "metrics.csv").read_text("utf-8").splitlines()
    assert lines[1] == "mini,news,target,none,,bf16,verbmem,85.5,83.5,87.4167,12"
    assert lines[-1] == "mini,news,npo_gdr,lora,2,nf4,reversion_nll_forget,diverged,,,"
    assert list(scores) == [
        (Cell.parse(cell), metric)
        for metrics in (METRICS, FORGET)
        for cell in (CELLS if metrics is METRICS else CELLS[4:])
        for metric in metrics
    ]
    again = summary.read_metrics(tmp_path / "metrics.csv")
    assert list(again) == list(scores)
    for own, other in zip(scores.values(), again.values(), strict=True):
        assert (own.n, own.absent) == (other.n, other.absent)
        assert own.value == (own.value and pytest.approx(other.value, rel=1e-4))


def test_a_cells_name_is_its_corpus_model_and_precision() -> None:
    for name in ("news/target/nf4", "news/target/seed2/nf4", "news/npo/lora_scaled0.5/seed7/nf4"):
        cell = Cell.parse(name)
        assert f"{cell.corpus}/{cell.model}/{cell.precision}" == name
        assert (cell.adapter == "none") == (cell.objective == "target")
    for name in ("news/target", "news/ga/lora/seed/nf4", "news/ga/lora/nf4", "/target/bf16"):
        with pytest.raises(InputError, match="write <corpus>/<objective>/<adapter>/seed<k>"):
            Cell.parse(name)


def test_reversion_by_hand(folder: Path) -> None:
    found = scores_in(folder)
    assert [found[name].value for name in FORGET[:2]] == pytest.approx([0.1 / 0.6] * 2)
    assert found["reversion_nll_forget"].value == pytest.approx((2.0 - 3.5) / (0.5 - 3.5))
    assert [found[name].n for name in FORGET] == [12, 12, 24, 12]
    # The items differ alike in all models and are drawn together: the interval has no width.
    own = found["reversion_verbmem"]
    assert (own.low, own.high) == pytest.approx((own.value, own.value))
    in_bf16 = scores_in(folder, f"{SEEDS[1]}/bf16")
    assert {(in_bf16[name].value, in_bf16[name].high) for name in FORGET} == {(0, 0)}


@pytest.mark.parametrize("rouge", [0.8, 0.79, 0.95])
def test_what_was_not_forgotten_cannot_come_back(folder: Path, rouge: float) -> None:
    """As good as the target on its items, or better: no distance to divide by."""
    scored(folder, f"{SEEDS[1]}/bf16", rouge=rouge, nll=3.5, min_k=-4.0)
    file = folder / f"{SEEDS[1]}/bf16/verbmem.jsonl"
    first, *rest = read_jsonl(file)
    write_jsonl(file, [first | {"rougeL": 0.99}, *rest])  # so that draws differ
    found = scores_in(folder)
    gone = found["reversion_verbmem"]
    assert (gone.value, gone.low, gone.n, gone.absent) == (None, None, None, "undefined")
    assert found["reversion_nll_forget"].value == pytest.approx(0.5)


def test_values_are_means_over_seeds(folder: Path) -> None:
    found = found_in(folder)
    summary.write_summaries(folder / "summary.csv", "mini", found)
    assert list(summary.summaries(folder / "summary.csv")) == list(found)
    assert list(found)[-11:] == [key(metric) for metric in (*METRICS, *FORGET)]
    assert len(found) == 4 * len(METRICS) + 2 * len((*METRICS, *FORGET))
    verbmem, back = found[key("verbmem")], found[key("reversion_verbmem")]
    assert verbmem.value == pytest.approx(100 * (0.3 + sum(SPREAD) / ITEMS))
    assert (verbmem.seeds, verbmem.diverged, verbmem.undefined, verbmem.n) == (3, 0, 0, 12)
    assert (verbmem.note, found[key("auc")].n) == ("", 24)
    # The seeds alone vary: all models have the same spread of items.
    assert (back.value, back.low, back.high) == pytest.approx((1 / 6, 0.0, 1 / 3))
    alone = found_in(folder, [*REFERENCES, f"{SEEDS[0]}/nf4"])[key("verbmem")]
    assert verbmem.error > 2 * alone.error


def test_seeds_without_a_number_are_counted_and_left_out(folder: Path) -> None:
    scored(folder, f"{SEEDS[1]}/nf4", 0.9, 9.0, 9.0, status="diverged")
    scored(folder, f"{SEEDS[0]}/bf16", rouge=0.8, nll=3.5, min_k=-4.005)  # forgot nothing
    found = found_in(folder)
    verbmem, back = found[key("verbmem")], found[key("reversion_verbmem")]
    assert verbmem.value == pytest.approx(100 * (0.3 + sum(SPREAD) / ITEMS))
    assert (verbmem.seeds, verbmem.diverged, verbmem.note) == (3, 1, "diverged in 1 of 3 seeds")
    assert back.value == pytest.approx(0.2 / 0.6)
    assert (back.diverged, back.undefined, back.counted) == (1, 1, 1)
    assert back.note.startswith("diverged in 1 of 3 seeds; undefined in 1 of 3 seeds; one seed")
    for model in SEEDS:
        scored(folder, f"{model}/bf16", rouge=0.8, nll=3.5, min_k=-4.005)
    assert found_in(folder)[key("reversion_verbmem")].absent == "diverged"
    scored(folder, f"{SEEDS[1]}/nf4", 0.3, 2.0, -4.0)
    assert found_in(folder)[key("reversion_verbmem")].absent == "undefined"


def test_references_may_have_seeds_as_well(folder: Path) -> None:
    """Reversion then compares each seed with its own target, PrivLeak with its own retrain."""
    cells = CELLS[4:]
    for seed, rouge in enumerate((0.4, 0.6, 0.8)):
        for precision in ("bf16", "nf4"):
            for model, score in (("target", rouge), ("retrain", 0.1)):
                cells.append(f"news/{model}/seed{seed}/{precision}")
                scored(folder, cells[-1], rouge=score, nll=0.5, min_k=-4.005)
    found = found_in(folder, cells)
    target = found[key("verbmem", "target/none")]
    assert (target.seeds, target.value) == (3, pytest.approx(100 * (0.6 + sum(SPREAD) / ITEMS)))
    shares = (0.0 / 0.2, 0.1 / 0.4, 0.2 / 0.6)
    assert found[key("reversion_verbmem")].value == pytest.approx(sum(shares) / 3)
    assert found[key("privleak", precision="bf16")].value == pytest.approx(0.0)  # ranks as retrain


def test_a_missing_cell_or_other_items_are_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match=r"news/target/rtn4/metrics\.json: no such file"):
        found_in(folder, [*CELLS, "news/target/rtn4"])
    file = folder / "news/target/nf4/verbmem.jsonl"
    write_jsonl(file, read_jsonl(file)[:-1])
    with pytest.raises(InputError, match=r"target/nf4': verbmem\.jsonl is not of the same items"):
        scores_in(folder)
    evaluate(folder, f"{SEEDS[1]}/nf4", rouge=[0.1] * 7, forget=[-1] * 2, holdout=[-1] * 2)
    with pytest.raises(InputError, match=r"seed1/nf4': verbmem\.jsonl is not of the same items"):
        found_in(folder)
    evaluate(folder, "news/retrain/bf16", holdout=(-2,))
    with pytest.raises(InputError, match=r"privleak\.jsonl is not of the same items as in news/re"):
        found_in(folder, ["news/target/bf16"])


def test_numbers_words_and_gaps_are_read_as_they_were_written(tmp_path: Path) -> None:
    columns = ("note", "n", "value")
    rows = [["a,b", 3, -0.0], ["c", None, 1234567.89], ["d", 10_000_000, "undefined"]]
    write_rows(tmp_path / "a.csv", columns, rows)
    text = 'note,n,value\n"a,b",3,0\nc,,1.23457e+06\nd,10000000,undefined\n'
    assert (tmp_path / "a.csv").read_text() == text
    rows[0][2], rows[1][2] = 0.0, 1234570.0
    assert read(tmp_path / "a.csv", columns).to_numpy().tolist() == rows


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("a,b\n", "the first line must be experiment,corpus"),
        (f"{','.join(METRICS_TABLE)}\nmini,news,target,none,,bf16,auc,1,0,1,3.5\n", "not parse"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, text: str, complaint: str) -> None:
    (tmp_path / "metrics.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=complaint):
        summary.read_metrics(tmp_path / "metrics.csv")
