"""The vocabulary of an experiment: its cells, metrics and the words that stand for no number."""

import re
from dataclasses import dataclass
from typing import Literal

from qunlearn.run.errors import InputError

METRICS = ("verbmem", "knowmem", "privleak", "utility", "auc", "nll_forget", "nll_retain")
REFERENCES = ("target", "retrain")
GIVEN, AFTER = (
    "given",
    "after",
)  # objective and variant of a model of the user's: see `models.after`
BEFORE = "bf16"  # the precision in which forgetting is taken to be complete
DIVERGED = "diverged"  # the training gave no finite numbers
UNDEFINED = "undefined"  # the reversion of what was never forgotten
_CELL = re.compile(
    r"([^/]+)/(?:(target|retrain)(?:/seed(\d+))?|([^/]+)/([^/]+)(?:/seed(\d+)|(?<=/given/after)))"
    r"/([^/]+)"
)
AuditVerdict = Literal[
    "survives", "partly reverts", "reverts", "inconclusive", "undefined", "broken"
]
"""What becomes of forgetting in a format, by one metric: see report/audit.py."""


@dataclass(frozen=True)
class Run:
    """One unlearning run, or the target or retrain beside it."""

    corpus: str  # e.g. `news`
    objective: str  # e.g. `npo_gdr`, `target` or `retrain`; `given`: a model of the user's
    adapter: str  # a trained variant's or a control's name, `after`; `none`: target, retrain
    seed: int | None  # None of a given model, and of target and retrain where they serve all seeds

    @property
    def model(self) -> str:
        """The id of the model that it makes."""
        own = [] if self.objective in REFERENCES else [self.adapter]
        own += [] if self.seed is None else [f"seed{self.seed}"]
        return "/".join([self.objective, *own])

    @property
    def cell(self) -> str:
        """Its corpus, objective and variant, which share their settings: `news/npo_gdr/lora`."""
        return f"{self.corpus}/{self.objective}/{self.adapter}"


@dataclass(frozen=True)
class Cell(Run):
    """One evaluated model at one precision, e.g. `nf4`."""

    precision: str

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """Read `<corpus>/<model id>/<precision>`.

        The model id is `<objective>/<adapter>/seed<k>`, `given/after`, or `target` or `retrain`,
        followed by `/seed<k>` where each seed has its own; an InputError for any other form.
        """
        if not (found := _CELL.fullmatch(name)):
            raise InputError(
                f"cell '{name}': write <corpus>/<objective>/<adapter>/seed<k>/<precision>, "
                "<corpus>/target/<precision> or <corpus>/retrain/<precision>"
            )
        corpus, reference, own, objective, adapter, seed, precision = found.groups()
        number = own or seed
        seed_or_none = int(number) if number else None
        return cls(corpus, reference or objective, adapter or "none", seed_or_none, precision)
