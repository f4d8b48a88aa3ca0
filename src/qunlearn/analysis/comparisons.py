"""Which models are tested against which, and what each test says: the rows of `tests.csv`.

Three families, each corrected by Holm for its size within a corpus. Controls are corrected apart
from the main variants: running them does not change what is said of those.

* `adapters`: LoRA against each other variant, same objective and precision; two-sided.
* `quantization`: each model in a precision against itself in bf16; two-sided.
* `reversion`: the same for unlearned models and forget metrics, one-sided: does quantization bring
  them nearer to the target? Where reversion is undefined there is nothing that could come back, and
  no test. Nor is there one of fewer than three seeds: see `inference`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS, Evaluations
from qunlearn.analysis.frame import TESTS_TABLE, rows
from qunlearn.analysis.summary import Key, Summary, absences
from qunlearn.experiment.labels import GOALS
from qunlearn.experiment.names import BEFORE, DIVERGED, REFERENCES, UNDEFINED
from qunlearn.run.csvfile import Value, write_rows
from qunlearn.settings.unlearning import Adapter
from qunlearn.statistics.inference import ALPHA, Side, effect_dz, estimate, holm, too_few
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
        InputError: as `Evaluations.statistics`.
    """
    variants = list(read.variants)
    quantized = [(a, replace(a, precision=BEFORE)) for a in variants if a.precision != BEFORE]
    others = [name for name in MAIN if name != "lora"]
    loras = [cell for cell in variants if cell.adapter == "lora"]
    families = {
        "adapters": [(a, replace(a, adapter=other)) for a in loras for other in others],
        "quantization": quantized,
        "reversion": [pair for pair in quantized if pair[0].objective not in REFERENCES],
    }
    made = []
    for family, pairs in families.items():
        for a, b in pairs:
            theirs = read.variants.get(b, {})
            names = {cell: theirs[k] for k, cell in read.variants[a].items() if k in theirs}
            variants_of = a.objective, a.adapter, a.precision, b.adapter, b.precision
            for metric in (FORGET_METRICS if family == "reversion" else COMPARED) if names else ():
                numbers = _test(read, family, metric, names)
                made.append([experiment, a.corpus, family, metric, *variants_of, *numbers])
    found = pd.DataFrame(made, columns=list(TESTS_TABLE), dtype=object)
    with_p = found[found["p"].map(lambda p: isinstance(p, float)).astype(bool)]
    main = with_p["adapter_a"].isin([*MAIN, "none"])
    for _, group in with_p.groupby([with_p["family"], with_p["corpus"], main]):
        found.loc[group.index, "p_holm"] = holm(list(group["p"]))
    return found


def tested(by_seed: Sequence[Statistic], side: Side | None) -> Summary:
    """A difference over seeds and items, tested on a side of 0 where there are seeds enough."""
    found = estimate(by_seed)
    return Summary(
        found.value,
        found.low,
        found.high,
        found.seeds,
        n=sum(by_seed[0].sizes),
        note="; ".join(found.limits),
        minimum_effect=found.minimum_effect(),
        p=None if side is None or too_few(found.seeds) else found.p(side),
        corrected=False,
    )


def _test(read: Evaluations, family: str, metric: str, names: Mapping[str, str]) -> list[Value]:
    """The numbers of a test of two variants and the note, given the two cells of each seed."""
    known, _ = read.statistics([*names, *names.values()], metric)
    pairs = {a: (known[a], known[b]) for a, b in names.items() if a in known and b in known}
    notes = absences(len(names), len(names) - len(pairs), 0)
    if not pairs:
        return [DIVERGED, *[None] * 7, 0, *notes]
    side: Side | None = "two-sided"
    if family == "reversion":
        defined, words = read.statistics(pairs, f"reversion_{metric}")
        missing = absences(len(pairs), words.count(DIVERGED), words.count(UNDEFINED))
        notes += [f"reversion {note}" for note in missing]
        side = ("greater" if FORGET_METRICS[metric] > 0 else "less") if defined else None
        pairs = {name: pairs[name] for name in defined or pairs}
    found = tested([difference(*pair) for pair in pairs.values()], side)
    untested = "no test" if side is None else ""
    still = "nothing varies, so that no minimum effect is known"
    notes += [found.note, untested, still if found.minimum_effect is None else ""]
    p = too_few(found.seeds) or UNDEFINED if found.p is None else found.p
    sizes = effect_dz(list(pairs.values())), found.minimum_effect
    shown = [UNDEFINED if size is None else size for size in sizes]
    ends = found.value, found.low, found.high
    return [*ends, p, p, *shown, found.n, found.seeds, "; ".join(filter(None, notes))]


def write_tests(path: Path, tests: pd.DataFrame) -> None:
    """Write what `comparisons` found as `tests.csv`."""
    write_rows(path, TESTS_TABLE, tests.to_numpy().tolist())


def read_tests(path: Path) -> dict[tuple[Key, Key], Summary]:
    """The tests of one variant against another (family `adapters`) of a `tests.csv`.

    Each is there both ways round, the first minus the second. Raises as `frame.read`.
    """
    tests: dict[tuple[Key, Key], Summary] = {}
    for row in rows(path, TESTS_TABLE):
        if row.family != "adapters":
            continue
        a = Key(row.corpus, row.objective, row.adapter_a, row.precision_a, row.metric)
        b = a._replace(adapter=row.adapter_b, precision=row.precision_b)
        if isinstance(row.difference, str):
            note = f"the difference is {row.difference}; {row.note}".strip("; ")
            tests[a, b] = tests[b, a] = Summary(None, None, None, 0, note=note)
            continue
        effect, p = (None if isinstance(x, str) else x for x in (row.minimum_effect, row.p_holm))
        value, low, high = row.difference, row.ci_low, row.ci_high
        found = Summary(value, low, high, row.seeds, 0, 0, row.n, row.note, effect, p)
        tests[a, b] = found
        tests[b, a] = replace(found, value=-value, low=-high, high=-low)
    return tests


def better(tests: Path, found: Mapping[Key, Summary]) -> frozenset[Key]:
    """The better one of each two variants that differ at the same precision.

    Args:
        tests: a `tests.csv`; its family `adapters` is read.
        found: the values of the same cells; PrivLeak is the better, the nearer it is to 0.
    """
    winners = set()
    for pair, test in read_tests(tests).items():
        goal = GOALS.get(pair[0].metric)
        if goal and test.p is not None and test.p <= ALPHA:
            rank = {"↓": lambda x: x, "↑": lambda x: -x, "→0": abs}[goal]
            winners.add(min(pair, key=lambda key: rank(found[key].value or 0.0)))
    return frozenset(winners)
