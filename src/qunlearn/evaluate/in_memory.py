"""All precisions of one model: read once, then quantized and asked in memory, one by one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qunlearn.checkpoints import is_adapter, is_diverged, load_dense, load_tokenizer
from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate.evaluation import evaluate_model, leave_empty
from qunlearn.precision import Precision
from qunlearn.settings.evaluation import EvaluateSettings


class Evaluator:
    """Asks a model that was read once, in any of several precisions.

    Args:
        source: a checkpoint, or a LoRA adapter, which is merged into `base` in float32.
        base: the checkpoint that the adapter was trained on; otherwise unused.
        precisions: what it will be asked in; none of GPTQ.

    Raises:
        InputError: a bad checkpoint, or a precision that does not fit it.
    """

    def __init__(self, source: Path, base: Path | None, precisions: Sequence[Precision]) -> None:
        self._dense = None
        if is_diverged(source):
            return
        from qunlearn.quantize.in_memory import check_fits

        self._dense = load_dense(source, base)
        self._tokenizer = load_tokenizer(base if base and is_adapter(source) else source)
        for precision in precisions:
            check_fits(self._dense, precision)

    def evaluate(
        self,
        precision: Precision,
        corpus: Corpus,
        retrain: Path | None,
        settings: EvaluateSettings,
        output: Path,
    ) -> dict[str, Any]:
        """As `evaluation.evaluate` of the folder that the precision would have."""
        if self._dense is None:
            return leave_empty(output)
        from qunlearn.quantize.in_memory import in_precision

        model = in_precision(self._dense, precision)
        return evaluate_model(
            model, self._tokenizer, precision.name, corpus, retrain, settings, output
        )
