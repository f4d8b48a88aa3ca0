"""NPO+KLR in the textbook way: the baseline of `bench_training.py`.

This is how the peers do it (open-unlearning, and MUSE's own code but for the definitions of the
terms): a deep copy of the model is the reference and runs on every batch; all logits of a batch are
held, in float32, as accelerate's mixed precision returns them; the model computes its own loss
beside the one that is wanted, since it is given the labels; and the retain batch goes through the
model twice, the first time for nothing.
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from qunlearn.training.rows import IGNORED, Batch


class Textbook:
    """The loss of an update; all rows of a batch must have the same length.

    Args:
        model: a causal language model of transformers, or one under PEFT, before unlearning.
        beta: inverse temperature of NPO.
        gamma, alpha: weights of the forget and of the retain term.
    """

    def __init__(self, model: nn.Module, beta: float, gamma: float, alpha: float) -> None:
        self.reference = copy.deepcopy(model).eval()
        self.beta, self.gamma, self.alpha = beta, gamma, alpha

    def loss(self, model: nn.Module, forget: Batch, retain: Batch) -> Tensor:
        """gamma * NPO + alpha * KLR: a scalar, nats."""
        return self.gamma * self._npo(model, forget) + self.alpha * self._klr(model, retain)

    def _npo(self, model: nn.Module, batch: Batch) -> Tensor:
        nll = summed_nll(model, batch)
        with torch.no_grad():
            before = summed_nll(self.reference, batch)
        return -2 / self.beta * F.logsigmoid(self.beta * (nll - before)).mean()

    def _klr(self, model: nn.Module, batch: Batch) -> Tensor:
        outputs = model(**batch)
        with torch.no_grad():
            before = F.log_softmax(self.reference(**batch).logits.float(), dim=-1)
        outputs = model(**batch)
        now = F.log_softmax(outputs.logits.float(), dim=-1)
        return F.kl_div(
            now.flatten(0, 1), before.flatten(0, 1), reduction="batchmean", log_target=True
        )


def summed_nll(model: nn.Module, batch: Batch) -> Tensor:
    """NLL of each row, summed over its tokens: [rows], nats."""
    logits = model(**batch).logits.float()[:, :-1].contiguous()
    labels = batch["labels"][:, 1:].contiguous()
    return F.cross_entropy(
        logits.transpose(-1, -2), labels, ignore_index=IGNORED, reduction="none"
    ).sum(dim=-1)
