"""Records of made-up evaluations: a few items with given scores, and the rest out of the way."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from qunlearn.evaluate.records import Record
from qunlearn.run.files import write_json, write_jsonl

ANSWER = {"prompt": "", "question": "", "output": "", "reference": ""}


def evaluate(
    folder: Path,
    cell: str,
    rouge: Sequence[float] = (0.2, 0.4),
    utility: Sequence[float] | None = None,
    nll: Sequence[float] = (1.0, 2.0),
    forget: Sequence[float] = (-1.0, -3.0),
    holdout: Sequence[float] = (-2.0, -4.0),
    status: str = "ok",
) -> None:
    """Lay down one cell: ROUGE-L of all answers (Utility's may differ), the NLL a token of forget
    and retain texts of 10 tokens, and the Min-K% of forget and holdout texts."""
    place = folder / cell
    answers = {"verbmem": rouge, "knowmem_forget": rouge, "knowmem_retain": utility or rouge}
    for name, scores in answers.items():
        rows = [ANSWER | {"id": i, "rougeL": score} for i, score in enumerate(scores)]
        write_jsonl(place / f"{name}.jsonl", rows)
    texts = [("forget", *pair) for pair in zip(nll, forget, strict=True)]
    texts += [("retain", each, 0.0) for each in nll]
    texts += [("holdout", 0.0, score) for score in holdout]
    rows = [
        {"id": f"{split}/{i}", "split": split, "tokens": 10, "nll_sum": 10 * each, "min_k": score}
        for i, (split, each, score) in enumerate(texts)
    ]
    write_jsonl(place / "privleak.jsonl", rows)
    write_json(place / "metrics.json", {"status": status})


def texts(forget: Iterable[float], holdout: Iterable[float]) -> list[Record]:
    """Records of texts with these Min-K% scores; text i has i + 1 tokens of NLL 2."""
    return [
        {"id": f"{split}/{i}", "split": split, "tokens": i, "nll_sum": 2.0 * i, "min_k": score}
        for split, scores in (("forget", forget), ("holdout", holdout))
        for i, score in enumerate(scores, start=1)
    ]
