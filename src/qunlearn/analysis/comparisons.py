"""Which models are tested against which, and what each test says: the rows of `tests.csv`.

Three families, each corrected by Holm for its size within a corpus. Controls are corrected apart
from the main variants: running them does not change what is said of those.

* `adapters`: LoRA against each other variant, same objective and precision; two-sided.
* `quantization`: each model in a precision against itself in bf16; two-sided.
* `reversion`: the same for unlearned models and forget metrics, one-sided: does quantization bring
  them nearer to the target? Where reversion is undefined there is nothing that could come back, and
  no test. Nor is there one of fewer than three seeds: see `inference`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import pandas as pd

from qunlearn.analysis.cells import Evaluations, Variant, check_same_items
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.over_seeds import absences
from qunlearn.analysis.reversion import FORGET_METRICS, reversion
from qunlearn.experiment.names import BEFORE, DIVERGED, REFERENCES, UNDEFINED
from qunlearn.run.csvfile import Value
from qunlearn.settings.unlearning import Adapter
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import Side, doubt, effect_dz, holm, too_few
from qunlearn.statistics.items import Statistic, difference

MAIN: tuple[str, ...] = get_args(Adapter)
COMPARED = ("verbmem", "knowmem", "privleak", "utility", "nll_forget")
COLUMNS = tuple(TESTS_TABLE.columns)[1:]  # all but the experiment's name


def comparisons(evaluations: Path, cells: Sequence[str]) -> pd.DataFrame:
    """All tests that `cells` allow, family by family, in the order of `cells`.

    Args:
        evaluations: the folder that holds the records and `metrics.json` of each cell.
        cells: their names.

    Returns:
        COLUMNS, a test a row. `difference` is a minus b, on average over the seeds that have a
        number for both; `p_holm` is corrected for the tests of the family; `minimum_effect` is the
        smallest true difference that this n at these seeds would show with a power of 0.8 (of fewer
        than three seeds, that other items of these runs would). Where there is no number there is
        a word, as in the file.

    Raises:
        InputError: a cell, or what its PrivLeak or reversion refers to, was not evaluated, is
            broken, or is of other items.
    """
    read = Evaluations(evaluations, cells)
    names = read.variants()
    adapters = [
        (variant, variant._replace(adapter=other))
        for variant in names
        if variant.adapter == "lora"
        for other in MAIN
        if other != "lora"
    ]
    coarser = [variant for variant in names if variant.precision != BEFORE]
    quantization = [(variant, variant._replace(precision=BEFORE)) for variant in coarser]
    unlearned = [pair for pair in quantization if pair[0].objective not in REFERENCES]
    rows = []
    for family, pairs, metrics in (
        ("adapters", adapters, COMPARED),
        ("quantization", quantization, COMPARED),
        ("reversion", unlearned, tuple(FORGET_METRICS)),
    ):
        for a, b in pairs:
            theirs = names.get(b, {})
            seeds = [(cell, theirs[seed]) for seed, cell in names[a].items() if seed in theirs]
            rows += [_test(read, family, metric, a, b, seeds) for metric in metrics if seeds]
    return _corrected(pd.DataFrame(rows, columns=list(COLUMNS), dtype=object))


def write_tests(path: Path, experiment: str, rows: pd.DataFrame) -> None:
    """Write what `comparisons` found as `tests.csv`."""
    TESTS_TABLE.write(path, ([experiment, *row] for row in rows.to_numpy().tolist()))


def _test(
    read: Evaluations,
    family: str,
    metric: str,
    a: Variant,
    b: Variant,
    seeds: Sequence[tuple[str, str]],
) -> dict[str, Value]:
    """The row of two variants, given the two cells of each seed."""
    keys = (a.corpus, family, metric, a.objective, a.adapter, a.precision, b.adapter, b.precision)
    row: dict[str, Value] = dict.fromkeys(COLUMNS) | dict(zip(COLUMNS, keys, strict=False))
    found: dict[str, tuple[Statistic, Statistic]] = {}
    for name, other in seeds:
        first, second = read.items(name, metric), read.items(other, metric)
        if first is not None and second is not None:
            found[name] = first, second
            check_same_items(metric, ((name, first), (other, second)))
    check_same_items(metric, ((name, items[0]) for name, items in found.items()))
    notes = absences(len(seeds), len(seeds) - len(found), 0)
    if not found:
        return row | {"difference": DIVERGED, "seeds": 0, "note": "; ".join(notes)}
    side: Side | None = "two-sided"
    if family == "reversion":
        side = "greater" if FORGET_METRICS[metric].back > 0 else "less"
        shares = {name: reversion(read, name, metric) for name in found}
        words = [share for share in shares.values() if isinstance(share, str)]
        missing = absences(len(found), words.count(DIVERGED), words.count(UNDEFINED))
        notes += [f"reversion {note}" for note in missing]
        if len(words) == len(found):
            side = None
        else:
            found = {name: found[name] for name in found if not isinstance(shares[name], str)}
    pairs = list(found.values())
    differences = [difference(*pair) for pair in pairs]
    known, doubted = estimate(differences), doubt(differences)
    p = None if side is None or too_few(doubted.seeds) else doubted.p(side)
    effects = {"effect_dz": effect_dz(pairs), "minimum_effect": doubted.minimum_effect()}
    notes += known.limits
    if side is None:
        notes.append("no test")
    if effects["minimum_effect"] is None:
        notes.append("nothing varies, so that no minimum effect is known")
    return row | {
        "difference": known.value,
        "ci_low": known.low,
        "ci_high": known.high,
        **dict.fromkeys(("p", "p_holm"), (too_few(len(pairs)) or UNDEFINED) if p is None else p),
        **{name: UNDEFINED if effect is None else effect for name, effect in effects.items()},
        "n": sum(differences[0].sizes),
        "seeds": len(pairs),
        "note": "; ".join(notes),
    }


def _corrected(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with each `p_holm` corrected within its family and corpus."""
    tested = rows[rows["p"].map(lambda p: isinstance(p, float)).astype(bool)]
    main = tested["adapter_a"].isin([*MAIN, "none"])
    for _, family in tested.groupby([tested["family"], tested["corpus"], main]):
        rows.loc[family.index, "p_holm"] = holm(list(family["p"]))
    return rows
