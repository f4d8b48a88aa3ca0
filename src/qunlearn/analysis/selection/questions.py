"""The questions that a choice is made on: which they are, and how a candidate is evaluated."""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from qunlearn.corpora.layout import Corpus
from qunlearn.evaluate.definitions import DEFINITIONS
from qunlearn.experiment.names import DIVERGED
from qunlearn.models.checkpoints import is_adapter, is_diverged, load_dense, load_tokenizer
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.errors import InputError
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.statistics.items import value

Part = Literal["selection", "test"]
LISTS = ("forget_qa", "retain_qa")


def part_of(corpus: Corpus, part: Part, share: float) -> tuple[Corpus, dict[str, int]]:
    """A corpus with the questions of one part alone; everything else in it is whole.

    Returns:
        The corpus, and the number of questions of each list.

    Raises:
        InputError: see `selected`.
    """
    kept = {}
    for name in LISTS:
        cards = corpus.knowmem[name]
        wanted = set(selected([card["question"] for card in cards], share, name))
        on_it = part == "selection"
        kept[name] = [card for i, card in enumerate(cards) if (i in wanted) == on_it]
    numbers = {name: len(cards) for name, cards in kept.items()}
    return replace(corpus, knowmem=corpus.knowmem | kept), numbers


def selected(questions: Sequence[str], share: float, name: str) -> list[int]:
    """The indices of the questions that the choice is made on, ascending.

    The distinct questions are put in the order of the SHA-256 of their text, and the first `share`
    of them, to the nearest whole number, is taken. So a question that stands in a list twice is
    never on both sides, and the order of the list plays no part.

    Args:
        name: of the list, for the message.

    Raises:
        InputError: one of the two parts would be empty.
    """
    distinct = sorted(set(questions), key=lambda text: sha256(f"0\n{text}".encode()).digest())
    count = int(share * len(distinct) + 0.5)
    if not 0 < count < len(distinct):
        raise InputError(
            f"knowmem/{name}.json: a share of {share:g} of {len(distinct)} questions leaves one "
            "part without any; change selection.share"
        )
    taken = set(distinct[:count])
    return [index for index, question in enumerate(questions) if question in taken]


def evaluate_candidate(
    folder: Path, base: Path | None, corpus: Corpus, settings: EvaluateSettings
) -> dict[str, Any]:
    """The scores and records of one model, to be written as JSON.

    The weights are rounded to bf16 in memory, as the precision `bf16` of the tables is, and no
    quantized folder is written.

    Args:
        folder: a checkpoint, or a LoRA adapter of `base`.
        corpus: all of its questions are used.

    Returns:
        `status`, and unless it is `diverged`: the metrics `knowmem`, `utility` and `nll_forget`,
        and `items`, the records that the first two are the means of.

    Raises:
        InputError: the model, the corpus or the settings do not fit.
    """
    if is_diverged(folder):
        return {"status": DIVERGED}
    import torch

    from qunlearn.evaluate.evaluate import Evaluation

    model = load_dense(folder, base)
    method_of("bf16").change(model, {}, Precision.parse("bf16"))
    # As a folder in bf16 is evaluated: multiplied in float32 on a CPU, in bf16 on a GPU.
    placed: Any = model.to("cuda") if torch.cuda.is_available() else model.float()  # type: ignore[call-overload]
    tokenizer = load_tokenizer(base if base is not None and is_adapter(folder) else folder)
    evaluation = Evaluation(placed, tokenizer, corpus, settings)
    texts = evaluation.texts("forget")
    if not isfinite(sum(text["nll_sum"] for text in texts)):
        return {"status": DIVERGED}
    items = {"knowmem": evaluation.questions("forget"), "utility": evaluation.questions("retain")}
    records = items | {"nll_forget": texts}
    # Rounded, since sums differ in their last bits between machines and numbers of threads.
    scores = {
        name: round(value(DEFINITIONS[name].build(own, list)), 6) for name, own in records.items()
    }
    return {"status": "ok", **scores, "items": items}
