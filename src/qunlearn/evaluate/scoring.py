"""From the records of an evaluation to its `metrics.json`, without a model."""

from pathlib import Path
from typing import Any

from qunlearn.evaluate import definitions, records
from qunlearn.evaluate.formulas import auc, rouge_l
from qunlearn.evaluate.records import of_split
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.statistics import bootstrap
from qunlearn.statistics.items import Items, mean

FILE = "metrics.json"
TEXT_METRICS = {
    "verbmem": records.VERBMEM,
    "knowmem": records.KNOWMEM_FORGET,
    "utility": records.KNOWMEM_RETAIN,
}
DIVERGED_RESULT: dict[str, Any] = {"status": "diverged", "metrics": {}}


def score(folder: Path, retrain: Path | None, stemmer: bool) -> dict[str, Any]:
    """The content of `metrics.json`, from a folder's records alone.

    VerMem, KnowMem (questions on forget) and Utility (questions on retain) are mean ROUGE-L F1
    x 100; ROUGE-L is computed again from the texts. `nll_forget` and `nll_retain` are the NLL per
    token over all of a split's tokens, in nats. `n` counts items: prompts, questions, texts (of
    forget and holdout together for `auc` and `privleak`). Intervals are over the items; that of
    PrivLeak draws the texts of retrain's AUC along, and `dropped_draws` counts the draws in which
    that AUC is 0. Retrain's own PrivLeak is 0 by definition, in every draw.

    Args:
        folder: holds the four files of records.
        retrain: `privleak.jsonl` of the retrained model, of the same corpus; None only when
            `folder` is the retrained model's own evaluation.
        stemmer: whether ROUGE-L compares stems.

    Raises:
        InputError: a file of records is missing or broken, or `retrain` is of another corpus or
            has an AUC of 0.
    """
    texts = records.read(folder / records.PRIVLEAK, records.PRIVLEAK)
    reference = texts if retrain is None else records.read(retrain, records.PRIVLEAK)
    if retrain is not None:
        _check_same_texts(texts, reference, retrain)
    found = {name: _text_scores(folder, file, stemmer) for name, file in TEXT_METRICS.items()}
    found |= {
        "privleak": definitions.privleak(texts, reference),
        "auc": definitions.membership(texts),
        "nll_forget": definitions.likelihood(texts, "forget"),
        "nll_retain": definitions.likelihood(texts, "retain"),
    }
    known = {name: bootstrap.estimate([scores]) for name, scores in found.items()}
    return {
        "status": "ok",
        "settings": {
            "stemmer": stemmer,
            "resamples": bootstrap.RESAMPLES,
            "level": bootstrap.LEVEL,
            "seed": bootstrap.SEED,
        },
        "retrain_auc": auc(
            *(of_split(reference, split, "min_k") for split in ("forget", "holdout"))
        ),
        "dropped_draws": known["privleak"].dropped,
        "metrics": {name: _entry(known[name], found[name]) for name in found},
    }


def rescore(folder: Path, retrain: Path | None) -> dict[str, Any]:
    """`score` with the settings that the folder's manifest states.

    Raises:
        InputError: `retrain` is missing though the evaluation had one, or the reverse.
    """
    manifest = folder / MANIFEST
    made = read_json(manifest)
    if made["status"] != "ok":
        return DIVERGED_RESULT
    had_retrain = "retrain" in made["inputs"]
    if retrain is not None and not had_retrain:
        raise InputError(
            f"{manifest}: this model was its own PrivLeak reference; leave retrain out"
        )
    if retrain is None and had_retrain:
        raise InputError(f"{manifest}: PrivLeak needs retrain, the retrain model's privleak.jsonl")
    return score(folder, retrain, made["settings"]["stemmer"])


def _text_scores(folder: Path, file: str, stemmer: bool) -> Items:
    answers = records.read(folder / file, file)
    scores = [100.0 * rouge_l(answer["output"], answer["reference"], stemmer) for answer in answers]
    return mean([answer["id"] for answer in answers], scores)


def _entry(known: bootstrap.Estimate, scores: Items) -> dict[str, Any]:
    # Rounded, since sums differ in their last bits between machines and numbers of threads.
    return {
        "value": round(known.value, 6),
        "n": sum(scores.sizes),
        "ci_low": round(known.low, 6),
        "ci_high": round(known.high, 6),
    }


def _check_same_texts(
    texts: list[records.Record], reference: list[records.Record], path: Path
) -> None:
    if [text["id"] for text in texts] != [text["id"] for text in reference]:
        raise InputError(
            f"{path}: not of the same texts as the evaluated model's; "
            "evaluate retrain on the same corpus"
        )
