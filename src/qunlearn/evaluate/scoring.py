"""From the records of an evaluation to its `metrics.json`, without a model."""

from pathlib import Path
from typing import Any

from qunlearn.evaluate import records
from qunlearn.evaluate.definitions import BOTH, DEFINITIONS
from qunlearn.evaluate.formulas import auc, rouge_l
from qunlearn.run.errors import InputError
from qunlearn.statistics import items
from qunlearn.statistics.inference import estimate

FILE = "metrics.json"
DIVERGED_RESULT: dict[str, Any] = {"status": "diverged", "metrics": {}}


def score(folder: Path, retrain: Path | None, stemmer: bool) -> dict[str, Any]:
    """The content of `metrics.json`, from a folder's records alone: `DEFINITIONS` with intervals.

    A metric without items is left out: the corpus decides what is measured. All have forget texts.

    ROUGE-L is computed again from the texts. `n` counts items: prompts, questions, texts (of forget
    and holdout together for `auc` and `privleak`). Intervals are over the items; that of PrivLeak
    draws the texts of retrain's AUC along, and `dropped_draws` counts the draws in which that AUC
    is 0. Retrain's own PrivLeak is 0 by definition, in every draw.

    Args:
        folder: holds the four files of records.
        retrain: `privleak.jsonl` of the retrained model, of the same corpus; None only when
            `folder` is the retrained model's own evaluation, or of a corpus without holdout texts,
            which has no PrivLeak.
        stemmer: whether ROUGE-L compares stems.

    Raises:
        InputError: a file of records is missing or broken, or `retrain` is of another corpus or
            has an AUC of 0.
    """
    own = {
        file: records.read(folder / file, file, empty=file != records.PRIVLEAK)
        for file in records.FIELDS
    }
    for answer in (answer for answers in own.values() for answer in answers if "output" in answer):
        answer["rougeL"] = rouge_l(answer["output"], answer["reference"], stemmer)
    texts = own[records.PRIVLEAK]
    reference = texts if retrain is None else records.read(retrain, records.PRIVLEAK)
    if [text["id"] for text in texts] != [text["id"] for text in reference]:
        raise InputError(f"{retrain}: of other texts; evaluate retrain on the same corpus")
    metrics, dropped = {}, 0
    for name, definition in DEFINITIONS.items():
        if not definition.possible(own[definition.file]):
            continue
        found = definition.build(own[definition.file], lambda: reference)
        known = estimate([found])
        # Rounded, since sums differ in their last bits between machines and numbers of threads.
        metrics[name] = {
            "value": round(known.value, 6),
            "n": sum(found.sizes),
            "ci_low": round(known.low, 6),
            "ci_high": round(known.high, 6),
        }
        dropped += known.dropped  # of PrivLeak alone
    return {
        "status": "ok",
        "settings": {
            "stemmer": stemmer,
            "resamples": items.RESAMPLES,
            "level": items.LEVEL,
            "seed": items.SEED,
        },
        "retrain_auc": auc(*(records.of_split(reference, split, "min_k") for split in BOTH))
        if "auc" in metrics
        else None,
        "dropped_draws": dropped,
        "metrics": metrics,
    }
