"""The registry of unlearning objectives: a forget term, alone or with a retain term.

    loss = gamma * forget + alpha * retain

    GA      -(mean NLL of the forget tokens)
    NPO     mean over forget rows of -2/beta * log sigmoid(beta * (NLL - NLL_ref))
    SimNPO  mean over forget rows of -2/beta * log sigmoid(beta * NLL / tokens)
    GDR     mean NLL of the retain tokens
    KLR     mean KL(reference || model) over the retain tokens

NLL_ref and the reference come from the model before unlearning. GA, NPO and SimNPO push the forget
rows away; GDR and KLR hold the retain rows where they are. An objective is named after its terms:
`npo`, `npo_gdr`. Each term is a module of `training/terms`, with up to two variants:

* `paper`: the definitions of open-unlearning, which the paper's experiments use. NPO acts on a
  row's summed NLL; KLR is a true KL divergence.
* `muse`: those of the MUSE benchmark's own code (muse_bench, `iterative.py`), to compare with its
  published numbers. Its NPO and KLR act on raw logits (`terms/npo.py` and `terms/klr.py` say how
  they differ); the other terms are the same in both. Weights (alpha, beta) do not carry over from
  one variant to the other.

Nothing else lists the terms: configuration, training, plan, names and model cards read them here.
To add one, write a module with `TERM`, named after the term, and a test. Terms import torch inside
their functions, since every run of Snakemake reads the registry. The registry itself imports no
loss, so what only names an objective, such as a table, does not depend on one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Literal

from qunlearn.run.errors import InputError
from qunlearn.settings.unlearning import UnlearnSettings, Variant

if TYPE_CHECKING:
    from torch import Tensor

TERMS = f"{__package__}.terms"


Formula = Callable[["Tensor", "Tensor"], "Tensor"]
"""From logits of the model and the reference, [positions, vocabulary], to [positions], float32."""


@dataclass(frozen=True)
class Seen:
    """What a term is computed from: a batch of its rows."""

    mask: Tensor  # 1 for a token, 0 for padding, [rows, tokens]
    # Gives the NLL of each predicted token and the mask of those that count: `losses.token_nll`.
    # With `summed`, which makes the gradients in one pass, it gives the sum of all NLLs.
    token_nll: Callable[..., tuple[Tensor, Tensor]]
    # Applies a formula to the logits at each position and sums over those that count: a scalar.
    compare: Callable[[Formula], Tensor]
    # What the term needs from the model before unlearning (`Definition.reference`): the NLL of each
    # row, summed over its tokens, [rows]; or hidden states, [rows, tokens, hidden], and the output
    # embedding, [vocabulary, hidden], which `compare` uses.
    reference: tuple[Tensor, ...] = ()

    def mean_nll(self) -> Tensor:
        """The mean NLL of all predicted tokens: a float32 scalar, nats."""
        total, mask = self.token_nll(summed=True)
        return total / mask.sum()


@dataclass(frozen=True)
class Definition:
    """A term's formula in one variant.

    Attributes:
        loss: from what it sees and the run's settings to a float32 scalar, lower being better.
        over: what the formula averages over: rows, all their tokens, or the predicted tokens,
            which are all but each row's first. These counts weight the micro-batches of an update.
        reference: what it needs from the model before unlearning: nothing, the NLL of each row, or
            the hidden states of all rows, which are stored on the disk.
    """

    loss: Callable[[Seen, UnlearnSettings], Tensor]
    over: Literal["rows", "tokens", "predictions"]
    reference: Literal["", "nll", "states"] = ""


@dataclass(frozen=True)
class Term:
    """One term of the loss."""

    name: str  # in the names of objectives, and its module's; lower-case letters
    label: str  # how tables and figures print it
    rows: Literal["forget", "retain"]  # which rows it acts on
    source: str  # where it is defined
    paper: Definition
    muse: Definition | None = None  # without it both variants share `paper`
    # Settings beyond its weight -> what they are, the end of a sentence.
    uses: Mapping[str, str] = field(default_factory=dict)

    def definition(self, variant: Variant) -> Definition:
        """The formula of a variant."""
        return self.muse if variant == "muse" and self.muse else self.paper


@dataclass(frozen=True)
class Objective:
    """A forget term and the retain term beside it, if any."""

    forget: Term
    retain: Term | None = None

    @classmethod
    def parse(cls, name: str) -> Objective:
        """Read a name such as `npo_gdr`; an InputError where there is no such objective."""
        if name not in objectives():
            raise InputError(
                f"objective '{name}' is unknown; use one of: {', '.join(objectives())}"
            )
        return objectives()[name]

    @property
    def terms(self) -> tuple[Term, ...]:
        """The forget term, then the retain term."""
        return (self.forget, self.retain) if self.retain else (self.forget,)

    @property
    def label(self) -> str:
        """How tables and figures print it: `NPO+GDR`, as the paper does."""
        return "+".join(term.label for term in self.terms)

    @property
    def kinds(self) -> tuple[str, ...]:
        """What the plan counts for each term: the NLL of tokens (`nll`), or a divergence between
        two distributions over the vocabulary (`kl`).
        """
        return tuple("kl" if term.paper.reference == "states" else "nll" for term in self.terms)

    @property
    def uses(self) -> dict[str, str]:
        """Settings of its terms -> what they are."""
        return {key: what for term in self.terms for key, what in term.uses.items()}

    @property
    def unused(self) -> set[str]:
        """Settings that it does not use: those of other terms."""
        others = {key for term in terms().values() for key in term.uses}
        return (others - self.uses.keys()) | (set() if self.retain else {"alpha"})

    def describe(self) -> str:
        """The loss in words, for the model card: sentences."""
        weights = ("gamma", "alpha")
        loss = " + ".join(f"{weights[i]} × {term.label}" for i, term in enumerate(self.terms))
        meanings = "".join(f"; {key} is {what}" for key, what in self.uses.items())
        sources = "; ".join(f"{term.label}: {term.source}" for term in self.terms)
        return f"The loss is {loss}{meanings}. {sources}."

    @property
    def module_files(self) -> list[Path]:
        """The modules of its terms: code that decides what its runs write."""
        return [Path(str(import_module(f"{TERMS}.{term.name}").__file__)) for term in self.terms]


@cache
def terms() -> dict[str, Term]:
    """Every term by its name, in the order of their modules."""
    names = [module.name for module in iter_modules(import_module(TERMS).__path__)]
    return {name: import_module(f"{TERMS}.{name}").TERM for name in names}


@cache
def objectives() -> dict[str, Objective]:
    """Every objective by its name: forget terms alone, then with each retain term."""
    forget, retain = (
        [term for term in terms().values() if term.rows == rows] for rows in ("forget", "retain")
    )
    pairs = {
        f"{one.name}_{other.name}": Objective(one, other) for one in forget for other in retain
    }
    return {term.name: Objective(term) for term in forget} | pairs
