"""The vocabulary of an experiment: its cells, metrics and the words that stand for no number."""

import re
from dataclasses import dataclass

from qunlearn.run.errors import InputError

METRICS = ("verbmem", "knowmem", "privleak", "utility", "auc", "nll_forget", "nll_retain")
REFERENCES = ("target", "retrain")
BEFORE = "bf16"  # the precision in which forgetting is taken to be complete
DIVERGED = "diverged"  # the training gave no finite numbers
UNDEFINED = "undefined"  # the reversion of what was never forgotten
_CELL = re.compile(r"([^/]+)/(?:(target|retrain)(?:/seed(\d+))?|([^/]+)/([^/]+)/seed(\d+))/([^/]+)")


@dataclass(frozen=True)
class Run:
    """One unlearning run, or the target or retrain beside it."""

    corpus: str  # e.g. `news`
    objective: str  # e.g. `npo_gdr`, or `target` or `retrain`
    adapter: str  # a trained variant's or a control's name; `none`: target and retrain
    seed: int | None  # None of target and retrain where they serve all seeds

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

        The model id is `<objective>/<adapter>/seed<k>`, or `target` or `retrain`, followed by
        `/seed<k>` where each seed has its own; an InputError for any other form.
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
