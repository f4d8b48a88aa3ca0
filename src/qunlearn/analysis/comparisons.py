"""Which models are tested against which, and what each test says: the rows of `tests.csv`.

Three families, each corrected by Holm for its size within a corpus. Controls are corrected apart
from the main variants: running them does not change what is said of those.

* `adapters`: LoRA against each other variant, same objective and precision; two-sided.
* `quantization`: each model in a precision against itself in bf16; two-sided.
* `reversion`: the same for unlearned models and forget metrics, one-sided: does quantization bring
  them nearer to the target? Where reversion is undefined there is nothing that could come back, and
  no test. Nor is there one of fewer than three seeds: see `inference`.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS, Evaluations, check_same_items
from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.summary import absences
from qunlearn.experiment.names import BEFORE, DIVERGED, REFERENCES, UNDEFINED
from qunlearn.run.csvfile import Value, write_rows
from qunlearn.settings.unlearning import Adapter
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.inference import Side, doubt, effect_dz, holm, too_few
from qunlearn.statistics.items import Statistic, difference

MAIN: tuple[str, ...] = get_args(Adapter)
COMPARED = ("verbmem", "knowmem", "privleak", "utility", "nll_forget")


def comparisons(read: Evaluations, experiment: str = "") -> pd.DataFrame:
    """All tests that the evaluations allow, family by family, in the order of the cells.

    Returns:
        TESTS_TABLE, a test a row. `difference` is a minus b, on average over the seeds that have a
        number for both; `p_holm` is corrected for the tests of the family; `minimum_effect` is the
        smallest true difference that this n at these seeds would show with a power of 0.8 (of fewer
        than three seeds, that other items of these runs would). Where there is no number there is
        a word, as in the file.

    Raises:
        InputError: a cell, or what its PrivLeak or reversion refers to, was not evaluated, is
            broken, or is of other items.
    """
    adapters = [
        (lora, replace(lora, adapter=other))
        for lora in read.variants
        if lora.adapter == "lora"
        for other in MAIN
        if other != "lora"
    ]
    quantization = [
        (variant, replace(variant, precision=BEFORE))
        for variant in read.variants
        if variant.precision != BEFORE
    ]
    unlearned = [pair for pair in quantization if pair[0].objective not in REFERENCES]
    rows = []
    for family, pairs, metrics in (
        ("adapters", adapters, COMPARED),
        ("quantization", quantization, COMPARED),
        ("reversion", unlearned, tuple(FORGET_METRICS)),
    ):
        for a, b in pairs:
            theirs = read.variants.get(b, {})
            names = {cell: theirs[k] for k, cell in read.variants[a].items() if k in theirs}
            of = {"experiment": experiment, "corpus": a.corpus, "objective": a.objective}
            of |= {"adapter_a": a.adapter, "precision_a": a.precision}
            of |= {"adapter_b": b.adapter, "precision_b": b.precision, "family": family}
            for metric in metrics if names else ():
                rows.append({**of, "metric": metric, **_test(read, family, metric, names)})
    found = pd.DataFrame(rows, columns=list(TESTS_TABLE), dtype=object)
    tested = found[found["p"].map(lambda p: isinstance(p, float)).astype(bool)]
    main = tested["adapter_a"].isin([*MAIN, "none"])
    for _, group in tested.groupby([tested["family"], tested["corpus"], main]):
        found.loc[group.index, "p_holm"] = holm(list(group["p"]))
    return found


def write_tests(path: Path, tests: pd.DataFrame) -> None:
    """Write what `comparisons` found as `tests.csv`."""
    write_rows(path, TESTS_TABLE, tests.to_numpy().tolist())


def _test(
    read: Evaluations, family: str, metric: str, names: Mapping[str, str]
) -> dict[str, Value]:
    """The numbers of a test of two variants, given the two cells of each seed."""
    found: dict[str, tuple[Statistic, Statistic]] = {}
    for name, other in names.items():
        first, second = read.items(name, metric), read.items(other, metric)
        if first is not None and second is not None:
            found[name] = first, second
            check_same_items(metric, {name: first, other: second})
    check_same_items(metric, {name: items for name, (items, _) in found.items()})
    notes = absences(len(names), len(names) - len(found), 0)
    if not found:
        empty: dict[str, Value] = dict.fromkeys(TESTS_TABLE[9:])
        return empty | {"difference": DIVERGED, "seeds": 0, "note": "; ".join(notes)}
    side: Side | None = "two-sided"
    if family == "reversion":
        shares = {name: read.statistic(name, f"reversion_{metric}") for name in found}
        words = [share for share in shares.values() if isinstance(share, str)]
        missing = absences(len(found), words.count(DIVERGED), words.count(UNDEFINED))
        notes += [f"reversion {note}" for note in missing]
        defined = {name: found[name] for name in found if not isinstance(shares[name], str)}
        forward: Side = "greater" if FORGET_METRICS[metric] > 0 else "less"
        found, side = (defined, forward) if defined else (found, None)
    pairs = list(found.values())
    differences = [difference(*pair) for pair in pairs]
    known, doubted = estimate(differences), doubt(differences)
    p = None if side is None or too_few(doubted.seeds) else doubted.p(side)
    word = too_few(len(pairs)) or UNDEFINED
    dz, effect = effect_dz(pairs), doubted.minimum_effect()
    notes += known.limits
    if side is None:
        notes.append("no test")
    if effect is None:
        notes.append("nothing varies, so that no minimum effect is known")
    return {
        "difference": known.value,
        "ci_low": known.low,
        "ci_high": known.high,
        **dict.fromkeys(("p", "p_holm"), word if p is None else p),
        "effect_dz": UNDEFINED if dz is None else dz,
        "minimum_effect": UNDEFINED if effect is None else effect,
        "n": sum(differences[0].sizes),
        "seeds": len(pairs),
        "note": "; ".join(notes),
    }
