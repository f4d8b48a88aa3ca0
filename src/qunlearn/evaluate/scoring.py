"""From the records of an evaluation to its `metrics.json`, without a model."""

from pathlib import Path
from statistics import fmean
from typing import Any

from qunlearn.errors import InputError
from qunlearn.evaluate import intervals, records
from qunlearn.evaluate.metrics import auc, privleak, rouge_l
from qunlearn.files import read_json
from qunlearn.provenance import MANIFEST

METRICS = "metrics.json"
TEXT_METRICS = {
    "verbmem": records.VERBMEM,
    "knowmem": records.KNOWMEM_FORGET,
    "utility": records.KNOWMEM_RETAIN,
}
DIVERGED: dict[str, Any] = {"status": "diverged", "metrics": {}}


def score(folder: Path, retrain: Path | None, stemmer: bool) -> dict[str, Any]:
    """The content of `metrics.json`, from a folder's records alone.

    VerMem, KnowMem (questions on forget) and Utility (questions on retain) are mean ROUGE-L F1
    x 100; ROUGE-L is computed again from the texts. `nll_forget` and `nll_retain` are the NLL per
    token over all of a split's tokens, in nats. `n` counts items: prompts, questions, texts (of
    forget and holdout together for `auc` and `privleak`).

    Args:
        folder: holds the four files of records.
        retrain: `privleak.jsonl` of the retrained model, of the same corpus; None only when
            `folder` is the retrained model's own evaluation.
        stemmer: whether ROUGE-L compares stems.

    Raises:
        InputError: a file of records is missing or broken, or `retrain` is of another corpus.
    """
    texts = records.read(folder / records.PRIVLEAK, records.PRIVLEAK)
    reference = texts if retrain is None else records.read(retrain, records.PRIVLEAK)
    if retrain is not None:
        _check_same_texts(texts, reference, retrain)
    retrain_auc = _auc(reference)
    metrics = {name: _text_metric(folder, file, stemmer) for name, file in TEXT_METRICS.items()}
    metrics |= _membership(texts, retrain_auc)
    for split in ("forget", "retain"):
        metrics[f"nll_{split}"] = _nll(texts, split)
    return {
        "status": "ok",
        "settings": {
            "stemmer": stemmer,
            "resamples": intervals.RESAMPLES,
            "level": intervals.LEVEL,
            "seed": intervals.SEED,
        },
        "retrain_auc": retrain_auc,
        "metrics": metrics,
    }


def rescore(folder: Path, retrain: Path | None) -> dict[str, Any]:
    """`score` with the settings that the folder's manifest states.

    Raises:
        InputError: `retrain` is missing though the evaluation had one, or the reverse.
    """
    manifest = folder / MANIFEST
    made = read_json(manifest)
    if made["status"] != "ok":
        return DIVERGED
    had_retrain = "retrain" in made["inputs"]
    if retrain is not None and not had_retrain:
        raise InputError(
            f"{manifest}: this model was its own PrivLeak reference; leave retrain out"
        )
    if retrain is None and had_retrain:
        raise InputError(f"{manifest}: PrivLeak needs retrain, the retrain model's privleak.jsonl")
    return score(folder, retrain, made["settings"]["stemmer"])


def _text_metric(folder: Path, file: str, stemmer: bool) -> dict[str, Any]:
    values = [
        100.0 * rouge_l(record["output"], record["reference"], stemmer)
        for record in records.read(folder / file, file)
    ]
    return _entry(fmean(values), len(values), intervals.of_mean(values))


def _membership(texts: list[records.Record], retrain_auc: float) -> dict[str, Any]:
    value = _auc(texts)
    forget, holdout = _membership_scores(texts)
    n = len(forget) + len(holdout)
    interval = intervals.of_auc(forget, holdout)
    return {
        "privleak": _entry(
            privleak(value, retrain_auc), n, intervals.of_privleak(interval, retrain_auc)
        ),
        "auc": _entry(value, n, interval),
    }


def _membership_scores(texts: list[records.Record]) -> tuple[list[float], list[float]]:
    return (
        records.of_split(texts, "forget", "min_k"),
        records.of_split(texts, "holdout", "min_k"),
    )


def _auc(texts: list[records.Record]) -> float:
    return auc(*_membership_scores(texts))


def _nll(texts: list[records.Record], split: str) -> dict[str, Any]:
    sums = records.of_split(texts, split, "nll_sum")
    tokens = records.of_split(texts, split, "tokens")
    return _entry(sum(sums) / sum(tokens), len(sums), intervals.of_ratio(sums, tokens))


def _entry(value: float, n: int, interval: intervals.Interval) -> dict[str, Any]:
    low, high = interval
    # Rounded, since sums differ in their last bits between machines and numbers of threads.
    return {
        "value": round(value, 6),
        "n": n,
        "ci_low": round(low, 6),
        "ci_high": round(high, 6),
    }


def _check_same_texts(
    texts: list[records.Record], reference: list[records.Record], path: Path
) -> None:
    if [text["id"] for text in texts] != [text["id"] for text in reference]:
        raise InputError(
            f"{path}: not of the same texts as the evaluated model's; "
            "evaluate retrain on the same corpus"
        )
