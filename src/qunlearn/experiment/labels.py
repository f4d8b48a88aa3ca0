"""How the names of the configuration look in print: one wording, one colour, everywhere."""

import re
from dataclasses import dataclass

from qunlearn.experiment.controls import SCALED, SPARE
from qunlearn.experiment.names import GIVEN
from qunlearn.quantize.method import Precision, method_of
from qunlearn.training.objectives import Objective

CORPORA = {"news": "NEWS", "books": "BOOKS"}
ADAPTERS = {
    "none": "–",
    "full": "FT (fp32 masters)",
    "full_bf16": "FT (bf16 weights)",
    "full_sr": "FT (bf16, stochastic rounding)",
    "lora": "LoRA",
    "lora_matched": "LoRA at FT's norm",
    "full_matched": "FT at LoRA's norm",
    "spare_zero_bin": "bf16 FT, zero-bin moves kept",
    "spare_other_bins": "bf16 FT, other moves kept",
    "spare_unmoved": "bf16 FT, as many others kept",
    "after": "after",
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
GOALS = {"verbmem": "↓", "knowmem": "↓", "privleak": "→0", "utility": "↑", "nll_forget": "↑"}
"""Where a metric should go: down, up, or to 0."""
DECIMALS = {"auc": 3, "nll_forget": 2, "nll_retain": 2}


@dataclass(frozen=True)
class Line:
    """A line of a figure: colour, marker and dashes (matplotlib's), each enough to know it by."""

    colour: str
    marker: str
    dashes: str | tuple[float, tuple[float, ...]]


# Four of Okabe and Ito's colours, which stay apart under every common colour blindness; markers
# and dashes carry a grey print. The references are grey and thin: the ground, not the figures.
LINES = {
    "full": Line("#009E73", "o", "-"),
    "full_bf16": Line("#D55E00", "s", (0, (5, 1.5))),
    "full_sr": Line("#CC79A7", "D", (0, (1, 1.2))),
    "lora": Line("#0072B2", "^", (0, (4, 1.2, 1, 1.2))),
    "after": Line("#E69F00", "v", "-"),
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
    """`npo_gdr` -> `NPO+GDR`, as the paper prints it; target, retrain, given keep their names."""
    kept = objective in (*REFERENCE_LINES, GIVEN)
    return objective if kept else Objective.parse(objective).label


def adapter_name(adapter: str) -> str:
    """`full` -> `FT (fp32 masters)`; a scaled LoRA update is named with its factor."""
    if adapter.startswith(SCALED):
        return f"LoRA × {adapter.removeprefix(SCALED)}"
    return ADAPTERS.get(adapter, adapter)


def origin(adapter: str) -> str:
    """The variant that a control was made from: `lora_scaled0.5` -> `lora`; else itself."""
    return "full_bf16" if adapter.startswith(SPARE) else re.sub("_(matched|scaled).*", "", adapter)


def precision_name(precision: str) -> str:
    """`nf4` -> `NF4`, `rtn3g64m` -> `RTN3 g64 mid-rise`."""
    return method_of(precision).label(Precision.parse(precision))


def number(metric: str, value: float) -> str:
    """`value` with the decimals that its interval can carry; never `-0.0`."""
    return format(value, f"z.{DECIMALS.get(metric, 1)}f")
