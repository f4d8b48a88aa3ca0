"""What a candidate knows: KnowMem, Utility and forget NLL in bf16, with the items behind them.

The weights are rounded to bf16 in memory, as the precision `bf16` of the tables is, and no
quantized folder is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate.records import Evaluation, Record
from qunlearn.experiment.names import DIVERGED
from qunlearn.models.checkpoints import is_adapter, is_diverged, load_dense, load_tokenizer
from qunlearn.quantize.method import Precision, method_of
from qunlearn.settings.evaluation import EvaluateSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def ask(
    folder: Path, base: Path | None, corpus: Corpus, settings: EvaluateSettings
) -> dict[str, Any]:
    """The answers of one model, to be written as JSON.

    Args:
        folder: a checkpoint, or a LoRA adapter of `base`.
        corpus: all of its questions are asked.

    Returns:
        `status`, and unless it is `diverged`: `knowmem` and `utility` (mean ROUGE-L F1 x 100 of
        the questions on forget and retain), `nll_forget` (nats a token of privleak/forget),
        and `items`, the records that the first two are the means of.

    Raises:
        InputError: the model, the corpus or the settings do not fit.
    """
    if is_diverged(folder):
        return {"status": DIVERGED}
    model = _in_bf16(load_dense(folder, base))
    tokenizer = load_tokenizer(base if base is not None and is_adapter(folder) else folder)
    evaluation = Evaluation(model, tokenizer, corpus, settings)
    texts = evaluation.texts("forget")
    total = sum(text["nll_sum"] for text in texts)
    if not isfinite(total):
        return {"status": DIVERGED}
    forget, retain = evaluation.questions("forget"), evaluation.questions("retain")
    return {
        "status": "ok",
        "knowmem": _mean(forget),
        "utility": _mean(retain),
        "nll_forget": round(total / sum(text["tokens"] for text in texts), 6),
        "items": {"knowmem": forget, "utility": retain},
    }


def _in_bf16(model: PreTrainedModel) -> PreTrainedModel:
    """Round a float32 model's weights to bf16, in place, and put it where it is asked.

    On a CPU the rounded weights are multiplied in float32, on a GPU in bf16: as those of a
    quantized folder of the precision bf16 are.
    """
    import torch

    method_of("bf16").change(model, {}, Precision.parse("bf16"))
    if torch.cuda.is_available():
        return model.to("cuda")  # type: ignore[no-any-return, call-overload]
    for parameter in model.parameters():
        parameter.data = parameter.data.float()
    return model


def _mean(records: Sequence[Record]) -> float:
    """Rounded, since sums differ in their last bits between machines and numbers of threads."""
    return round(100.0 * fmean(record["rougeL"] for record in records), 6)
