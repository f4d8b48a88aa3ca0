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
class Cell:
    """One evaluated model at one precision.

    Attributes:
        corpus: e.g. `news`.
        objective: e.g. `npo_gdr`, or `target` or `retrain`.
        adapter: `full`, `full_bf16`, `lora` or a control's name; `none` for target and retrain.
        seed: of the unlearning run; of target and retrain it is None where they serve all seeds.
        precision: e.g. `nf4`.
    """

    corpus: str
    objective: str
    adapter: str
    seed: int | None
    precision: str

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """Read `<corpus>/<model id>/<precision>`.

        The model id is `<objective>/<adapter>/seed<k>`, or `target` or `retrain`, followed by
        `/seed<k>` where each seed has its own.

        Raises:
            InputError: the name has another form.
        """
        if not (found := _CELL.fullmatch(name)):
            raise InputError(
                f"cell '{name}': write <corpus>/<objective>/<adapter>/seed<k>/<precision>, "
                "<corpus>/target/<precision> or <corpus>/retrain/<precision>"
            )
        corpus, reference, own, objective, adapter, seed, precision = found.groups()
        number = own if reference else seed
        seed_or_none = None if number is None else int(number)
        return cls(corpus, reference or objective, adapter or "none", seed_or_none, precision)

    @property
    def model(self) -> str:
        """The model id."""
        parts = [self.objective]
        if self.objective not in REFERENCES:
            parts.append(self.adapter)
        if self.seed is not None:
            parts.append(f"seed{self.seed}")
        return "/".join(parts)
