"""From made-up evaluations of several seeds to `summary.csv`, and what its notes say."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from small_manifests import sign_evaluations
from small_records import evaluate

from qunlearn.analysis.frame import SUMMARY_TABLE
from qunlearn.analysis.metrics import METRICS, Score
from qunlearn.analysis.summary import summarise
from qunlearn.analysis.reversion import reversions
from qunlearn.analysis.summary import Key, Summary, summaries, write_summaries
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/summarise.py"
SEEDS = [f"news/npo_gdr/lora/seed{seed}" for seed in range(3)]
CELLS = ["news/target/bf16", "news/target/nf4", "news/retrain/bf16", "news/retrain/nf4"]
CELLS += [f"{model}/{precision}" for model in SEEDS for precision in ("bf16", "nf4")]
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


def key(metric: str, model: str = "npo_gdr/lora", precision: str = "nf4") -> Key:
    return Key("news", *model.split("/"), precision, metric)


def test_variants_come_in_the_order_of_their_cells_with_all_their_metrics(folder: Path) -> None:
    found = summarise(folder, CELLS)
    forget = [f"reversion_{name}" for name in ("verbmem", "knowmem", "privleak", "nll_forget")]
    assert list(found) == [
        Key("news", *model.split("/"), precision, metric)
        for model in ("target/none", "retrain/none", "npo_gdr/lora")
        for precision in ("bf16", "nf4")
        for metric in (*METRICS, *(forget if model == "npo_gdr/lora" else ()))
    ]


def test_values_are_means_over_seeds(folder: Path) -> None:
    found = summarise(folder, CELLS)
    verbmem = found[key("verbmem")]
    assert verbmem.value == pytest.approx(100 * (0.3 + sum(SPREAD) / ITEMS))
    assert (verbmem.seeds, verbmem.diverged, verbmem.undefined, verbmem.n) == (3, 0, 0, 12)
    assert verbmem.note == ""
    assert found[key("auc")].n == 24
    assert found[key("reversion_verbmem")].value == pytest.approx((0 + 0.1 + 0.2) / 3 / 0.6)
    # The seeds alone vary: all models have the same spread of items.
    assert found[key("reversion_verbmem")].low == pytest.approx(0.0)
    assert found[key("reversion_verbmem")].high == pytest.approx(0.2 / 0.6)


def test_an_interval_over_seeds_is_wider_than_that_of_one_seed(folder: Path) -> None:
    def width(cells: list[str]) -> float:
        found = summarise(folder, [*CELLS[:4], *cells])[key("verbmem")]
        assert found.low is not None and found.high is not None
        return found.high - found.low

    assert width([f"{model}/nf4" for model in SEEDS]) > 2 * width([f"{SEEDS[0]}/nf4"])


def test_the_notes_say_what_limits_a_number(folder: Path) -> None:
    few = {"rouge": [0.5] * 5, "nll": [1.0, 2.0]}
    evaluate(folder, "news/target/nf4", forget=[-1, -1.5], holdout=[-3, -3], **few)
    evaluate(folder, "news/retrain/bf16", forget=[-3, -2], holdout=[-3, -1], **few)
    found = summarise(folder, ["news/target/nf4", "news/retrain/bf16"])

    def note(metric: str, model: str = "target/none", precision: str = "nf4") -> str:
        first, _, rest = found[key(metric, model, precision)].note.partition("; ")
        assert first == "one seed: the interval is over items alone"
        return rest

    assert note("verbmem") == "all scores equal; n < 10"
    assert note("nll_forget") == "n < 10"
    assert note("auc") == "every forget text compares alike with every holdout text; n < 10"
    own = found[key("privleak", "retrain/none", "bf16")]
    assert (own.value, own.low, own.high) == (0, 0, 0)
    dropped = re.fullmatch(
        "0 because it ranks the texts as retrain does; n < 10; "
        r"(\d+) of 10000 draws dropped: retrain's AUC was 0 in them",
        note("privleak", "retrain/none", "bf16"),
    )
    # Both forget texts drawn are the one at -2 and both holdout texts the one at -3: 1 of 16
    assert dropped and int(dropped[1]) == pytest.approx(625, abs=100)


def test_diverged_seeds_are_counted_and_left_out(folder: Path) -> None:
    scored(folder, f"{SEEDS[1]}/nf4", 0.9, 9.0, 9.0, status="diverged")
    found = summarise(folder, CELLS)
    verbmem, back = found[key("verbmem")], found[key("reversion_verbmem")]
    assert verbmem.value == pytest.approx(100 * (0.3 + sum(SPREAD) / ITEMS))
    assert (verbmem.seeds, verbmem.diverged, verbmem.note) == (3, 1, "diverged in 1 of 3 seeds")
    assert back.value == pytest.approx(0.1 / 0.6)
    assert (back.diverged, back.undefined) == (1, 0)


def test_where_all_seeds_diverged_there_is_the_word(folder: Path, tmp_path: Path) -> None:
    for model in SEEDS:
        scored(folder, f"{model}/bf16", 0.9, 9.0, 9.0, status="diverged")
    found = summarise(folder, CELLS)
    for metric in ("verbmem", "reversion_verbmem"):
        gone = found[key(metric, precision="bf16")]
        assert (gone.value, gone.low, gone.high, gone.n) == (None, None, None, None)
        assert (gone.absent, gone.note) == ("diverged", "diverged in 3 of 3 seeds")
    assert found[key("reversion_knowmem")].absent == "diverged"  # it starts from bf16
    assert found[key("knowmem")].note == ""


def test_undefined_reversions_are_counted_and_left_out(folder: Path) -> None:
    scored(folder, f"{SEEDS[0]}/bf16", rouge=0.8, nll=3.5, min_k=-4.005)
    back = summarise(folder, CELLS)[key("reversion_verbmem")]
    assert back.value == pytest.approx((0.1 + 0.2) / 2 / 0.6)
    assert (back.undefined, back.note) == (1, "undefined in 1 of 3 seeds")
    for model in SEEDS[1:]:
        scored(folder, f"{model}/bf16", rouge=0.8, nll=3.5, min_k=-4.005)
    assert summarise(folder, CELLS)[key("reversion_verbmem")].absent == "undefined"


def test_of_one_seed_it_says_what_metrics_csv_says(folder: Path) -> None:
    cells = [*CELLS[:4], f"{SEEDS[1]}/bf16", f"{SEEDS[1]}/nf4"]
    found = summarise(folder, cells)
    rows = [row for row in reversions(folder, cells, "mini") if row.cell.precision == "nf4"]

    def numbers(row: Score | Summary) -> tuple[float | None, ...]:
        low, high = (row.ci_low, row.ci_high) if isinstance(row, Score) else (row.low, row.high)
        return row.value, low, high, row.n

    assert len(rows) == 4
    for row in rows:
        assert numbers(found[key(row.metric)]) == pytest.approx(numbers(row), abs=1e-6)


def test_references_may_have_seeds_as_well(folder: Path) -> None:
    """Reversion then compares each seed with its own target, PrivLeak with its own retrain."""
    cells = CELLS[4:]
    for seed, rouge in enumerate((0.4, 0.6, 0.8)):
        for precision in ("bf16", "nf4"):
            for model, score in (("target", rouge), ("retrain", 0.1)):
                name = f"news/{model}/seed{seed}/{precision}"
                scored(folder, name, rouge=score, nll=0.5, min_k=-4.005)
                cells.append(name)
    found = summarise(folder, cells)
    target = found[key("verbmem", "target/none")]
    assert (target.seeds, target.value) == (3, pytest.approx(100 * (0.6 + sum(SPREAD) / ITEMS)))
    shares = (0.0 / 0.2, 0.1 / 0.4, 0.2 / 0.6)
    assert found[key("reversion_verbmem")].value == pytest.approx(sum(shares) / 3)
    assert found[key("privleak", precision="bf16")].value == pytest.approx(0.0)  # ranks as retrain


def test_a_missing_cell_or_other_items_are_an_error(folder: Path) -> None:
    with pytest.raises(InputError, match="cells: none given"):
        summarise(folder, [])
    with pytest.raises(InputError, match=r"news/target/rtn4/metrics\.json: no such file"):
        summarise(folder, [*CELLS, "news/target/rtn4"])
    evaluate(folder, f"{SEEDS[1]}/nf4", rouge=[0.1] * 7, forget=[-1] * 2, holdout=[-1] * 2)
    with pytest.raises(InputError, match=r"seed1/nf4': verbmem\.jsonl is not of the same items"):
        summarise(folder, CELLS)


def test_the_file_says_what_was_written(folder: Path, tmp_path: Path) -> None:
    for model in SEEDS:
        scored(folder, f"{model}/bf16", 0.9, 9.0, 9.0, status="diverged")
    found = summarise(folder, CELLS)
    path = tmp_path / "summary.csv"
    write_summaries(path, "mini", found)
    read = summaries(path)
    assert list(read) == list(found)
    for name, summary in found.items():
        for number in ("value", "low", "high"):
            wanted = getattr(summary, number)
            wanted = wanted if wanted is None else pytest.approx(wanted, rel=1e-5)
            assert getattr(read[name], number) == wanted
        rest = ("seeds", "diverged", "undefined", "n", "note", "absent")
        assert all(getattr(read[name], each) == getattr(summary, each) for each in rest)
    assert "nan" not in path.read_text().lower()


def test_the_script_writes_the_same_bytes_each_time(folder: Path) -> None:
    flags = ["--evaluations", str(folder), "--experiment", "mini", "--cells", *CELLS]
    sign_evaluations(folder)
    texts = []
    for name in ("one.csv", "two.csv"):
        command = [sys.executable, str(SCRIPT), *flags, "--output", str(folder / name)]
        subprocess.run(command, check=True)
        texts.append((folder / name).read_bytes())
    assert texts[0] == texts[1]
    assert texts[0].decode().splitlines()[0] == ",".join(SUMMARY_TABLE.columns)
