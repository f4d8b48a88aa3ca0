"""The fixed sentences of the report's start page, and how numbers and names stand in it."""

import re
from collections.abc import Iterable, Mapping, Sequence

from qunlearn.analysis.summary import Summary
from qunlearn.analysis.verdicts import MARGIN, ReversionVerdict
from qunlearn.experiment import labels as style

# Snakemake's page holds the start page in a narrow column whose top is out of reach when it is
# long, and wide figures overflow.
STYLE = """\
.. raw:: html

   <style>
   #app .h-screen.items-center { align-items: flex-start; }
   #app .prose.max-w-lg { max-width: 50rem; min-width: 34rem; }
   #app .prose h1:not(.title) { font-size: 1.25rem; margin: 1.5rem 0 .4rem; }
   #app .prose table { font-size: .8rem; line-height: 1.3; }
   #app .prose td p, #app .prose th p, #app .prose li p { margin: 0; }
   </style>"""
ASKED = (
    "A language model was trained on texts, and then trained again to *forget* some of them. To be "
    "shipped it is rounded to a coarser grid of numbers (quantized). Is what was forgotten still "
    "gone, and does that depend on how the update that made it forget was computed?"
)
MEANING = (
    "All numbers and the words that depend on them are made from the tables of this experiment. "
    "Figures and tables are in the menu on the left: the eye shows one, the *i* beside it tells "
    "how to read it."
)
RULE = (
    "*Reversion* is the share of the forgetting that a grid undoes: 0 where the model is as in "
    "bf16, 1 where it is back at the target quantized to the same grid. Forgetting *came back* "
    f"where the whole 95 % interval of the reversion lies above {MARGIN:g}, and *survived* where "
    f"the whole interval lies below {MARGIN:g}; between them it is *inconclusive*: "
    "these items *could show*, four times out of five, no smaller a distance from that margin than "
    "is given. It is *undefined* where the model in bf16 cannot be told from the target, so that "
    "there is nothing that could come back."
)
SOURCES = {
    "mini": "generated text about invented entities",
    "local": "text in MUSE's layout, from a folder of the user's",
}
MODELS = {
    "scratch": "trained from scratch by the workflow",
    "train": "trained by the workflow",
}
GIVEN = "a checkpoint given by the user"
COSTS = (
    "Utility: answers about text that is to be kept, at most 100. PrivLeak: 0 where forget texts "
    "look as unknown as they do to retrain, negative where they look more like training text."
)
ARRIVED = (
    "*Projection* is how much of an update is there after both models were rounded to the grid "
    "(1: all of it, whatever noise came with it; 0: none). The *bin of 0* holds the weights that "
    "the grid rounds to 0. The *size* is the update's norm over that of the weights. From the "
    "lowest to the highest, a model on a grid counted once a seed:"
)
NO_CONTROLS = (
    "None were run (``--config controls=true`` runs them), so that the size of an update, its rank "
    "and the weights that it moves are not told apart here."
)
UNTESTED = (
    "Nothing: a difference is tested over items and seeds, and that takes three seeds. One run's "
    "own luck cannot be told from what its settings do."
)
SCRATCH = (
    "The base was trained from scratch by this workflow. Nothing here says that a large pretrained "
    "model behaves alike."
)
LIMITS = (
    "Forgetting was measured by these prompts and these texts, with greedy decoding. Other "
    "prompts, sampling or further training may bring back what these measures call forgotten.",
    "Grids, methods and settings that are not named above were not tried.",
)
_WORDS: Mapping[ReversionVerdict, str] = {
    "came back": "came back in",
    "survived": "survived in",
    "inconclusive": "is inconclusive in",
    "undefined": "is undefined in",
    "diverged": "training diverged in",
}
_MARKUP = re.compile(r"([\\*`_|])")


def escaped(text: str) -> str:
    """`text` without meaning in reStructuredText."""
    return _MARKUP.sub(r"\\\1", text)


def literal(text: object) -> str:
    """A name as it stands in the configuration."""
    return f"``{text}``"


def corpus(name: str) -> str:
    """A corpus as the tables print it."""
    return escaped(style.corpus_name(name))


def method(name: str) -> str:
    """An objective as the tables print it."""
    return escaped(style.method_name(name))


def adapter(name: str) -> str:
    """A variant of the update as the tables print it."""
    return escaped(style.adapter_name(name))


def precision(name: str) -> str:
    """A precision as the tables print it."""
    return escaped(style.precision_name(name))


def interval(summary: Summary) -> str:
    """`0.88 [0.87, 0.90]` of a reversion, with the seeds that it is of where some have none."""
    if summary.value is None or summary.low is None or summary.high is None:
        return "undefined" if summary.undefined else "diverged"
    shown = f"{summary.value:z.2f} [{summary.low:z.2f}, {summary.high:z.2f}]"
    left = summary.seeds - summary.diverged - summary.undefined
    return shown if left == summary.seeds else f"{shown} ({left} of {summary.seeds} seeds)"


def tallied(counts: Mapping[ReversionVerdict, int]) -> str:
    """`came back in 2, survived in 28`, or `survived in all 30`; always how often it came back."""
    total = sum(counts.values())
    if len(counts) == 1:
        verdict, _ = next(iter(counts.items()))
        return f"{_WORDS[verdict]} {f'all {total}' if total > 1 else 'the only one'}"
    return ", ".join(f"{_WORDS[verdict]} {count}" for verdict, count in counts.items())


def plural(count: int, one: str, many: str) -> str:
    """`1 seed`, `2 seeds`."""
    return f"{count} {one if count == 1 else many}"


def listed(items: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def spread(values: Sequence[float], form: str) -> str:
    """`0.04 to 0.05`, or the one number where both ends look alike."""
    low, high = format(min(values), f"z{form}"), format(max(values), f"z{form}")
    return low if low == high else f"{low} to {high}"


def list_table(rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row is its head."""
    lines = [".. list-table::", "   :header-rows: 1", ""]
    for row in rows:
        lines += [f"   {'*' if index == 0 else ' '} - {cell}" for index, cell in enumerate(row)]
    return "\n".join(lines)


def bullets(items: Iterable[str]) -> str:
    """A list; an item is a line."""
    return "\n".join(f"* {item}" for item in items)
