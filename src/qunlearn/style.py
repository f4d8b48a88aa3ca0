"""How the names of the configuration look in print: one wording, one colour, everywhere."""

import re
from dataclasses import dataclass

CORPORA = {"news": "NEWS", "books": "BOOKS"}
METHODS = {
    "target": "target",
    "retrain": "retrain",
    "ga": "GA",
    "npo": "NPO",
    "ga_gdr": "GA+GDR",
    "ga_klr": "GA+KLR",
    "npo_gdr": "NPO+GDR",
    "npo_klr": "NPO+KLR",
}
ADAPTERS = {
    "none": "–",
    "full": "FT (fp32 masters)",
    "full_bf16": "FT (bf16 weights)",
    "lora": "LoRA",
}
METRICS = {
    "verbmem": "VerMem",
    "knowmem": "KnowMem",
    "privleak": "PrivLeak",
    "utility": "Utility",
    "auc": "AUC",
    "nll_forget": "NLL forget",
    "nll_retain": "NLL retain",
}
DECIMALS = {"auc": 3, "nll_forget": 2, "nll_retain": 2}
_GRID = re.compile(r"(?P<method>[a-z]+)(?P<bits>\d+)(?:g(?P<group>\d+))?")


@dataclass(frozen=True)
class Line:
    """A line of a figure: colour, marker and dashes (matplotlib's), each enough to know it by."""

    colour: str
    marker: str
    dashes: str | tuple[float, tuple[float, ...]]


# Three of Okabe and Ito's colours, which stay apart under every common colour blindness; markers
# and dashes carry a grey print. The references are grey and thin: the ground, not the figures.
LINES = {
    "full": Line("#009E73", "o", "-"),
    "full_bf16": Line("#D55E00", "s", (0, (5, 1.5))),
    "lora": Line("#0072B2", "^", (0, (4, 1.2, 1, 1.2))),
}
REFERENCE_LINES = {
    "target": Line("#222222", "", "-"),
    "retrain": Line("#888888", "", (0, (1, 1.5))),
}
REFERENCE_MEANINGS = {"target": "not unlearned", "retrain": "never knew"}


def corpus_name(corpus: str) -> str:
    """`news` -> `NEWS`; a user's own corpus keeps its name."""
    return CORPORA.get(corpus, corpus)


def method_name(objective: str) -> str:
    """`npo_gdr` -> `NPO+GDR`, as the paper prints it."""
    return METHODS.get(objective, objective)


def adapter_name(adapter: str) -> str:
    """`full` -> `FT (fp32 masters)`."""
    return ADAPTERS.get(adapter, adapter)


def precision_name(precision: str) -> str:
    """`nf4` -> `NF4`, `rtn3g64` -> `RTN3 g64`; `bf16` and `int8` are written small."""
    match = _GRID.fullmatch(precision)
    if match is None or precision in ("bf16", "int8"):
        return precision
    group = f" g{match['group']}" if match["group"] else ""
    return f"{match['method'].upper()}{match['bits']}{group}"


def number(metric: str, value: float) -> str:
    """`value` with the decimals that its interval can carry; never `-0.0`."""
    return format(value, f"z.{DECIMALS.get(metric, 1)}f")
