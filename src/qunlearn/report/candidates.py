"""Every candidate of every grid as CSV and as Markdown, and what is said of the choices."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.analysis.selection.choice import SCORES, Selection
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name, number
from qunlearn.experiment.names import DIVERGED, REFERENCES
from qunlearn.report import templates
from qunlearn.run.files import write_text

COLUMNS = (
    *("corpus", "objective", "adapter", "point", "epochs", *SCORES),
    *("n_forget", "n_retain", "seeds", "diverged", "chosen"),
)
_HEADS = {"knowmem": "KnowMem ↓", "utility": "Utility ↑", "nll_forget": "NLL forget ↑"}
_TEMPLATE = "candidates.md.j2"


def write_table(selections: Sequence[Selection], folder: Path) -> None:
    """Write `candidates.csv` and `candidates.md` into `folder`.

    The CSV has one line a candidate; target and retrain of each cell are lines with point `target`,
    … Scores are empty where every seed diverged; `chosen` is yes or no.
    """
    table = pd.concat(map(_table, selections), ignore_index=True)
    text = table[list(COLUMNS)].to_csv(index=False, float_format="%.6g", lineterminator="\n")
    write_text(folder / "candidates.csv", text)
    shown = {
        "Corpus": table["corpus"].map(corpus_name),
        "Method": table["objective"].map(method_name),
        "Adapter": table["adapter"].map(adapter_name),
        "Candidate": table["label"],
    }
    shown["Chosen"] = (table["chosen"] == "yes").map({True: "✓", False: ""})
    for score, head in _HEADS.items():
        texts = [DIVERGED if isnan(x) else number(score, x) for x in table[score]]
        shown[head] = pd.Series(texts)
    align = ["left"] * 5 + ["right"] * 3
    body = pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True, colalign=align)
    write_text(folder / "candidates.md", templates.fill(_TEMPLATE, **_words(selections, body)))


def notes(selections: Sequence[Selection]) -> list[str]:
    """Under the main table: a sentence a cell, then one on the questions; none if none is swept."""
    return templates.notes(_TEMPLATE, **_words(selections))


def counted_questions(selections: Sequence[Selection]) -> str:
    """How many questions of each corpus the candidates were evaluated on."""
    found = {corpus_name(own.corpus): own.evaluated for own in selections}
    shown = "{} {forget} on forget and {retain} on retain"
    return "; ".join(shown.format(name, **counts) for name, counts in found.items())


def candidate_name(name: str) -> str:
    """`r16-a32/epoch5` -> `r16-a32 after 5 epochs`."""
    point, _, epoch = name.partition("/epoch")
    return f"{point} after {epoch} epoch{'' if epoch == '1' else 's'}"


def _words(selections: Sequence[Selection], table: str = "") -> dict[str, Any]:
    words = {"choices": selections, "candidate_name": candidate_name, "table": table}
    return words | {"questions": counted_questions(selections)}


def _table(own: Selection) -> pd.DataFrame:
    """A cell's references and candidates: COLUMNS, and a label for people."""
    tried = own.candidates
    lost = tried["diverged"].astype(str) + " of " + tried["seeds"].astype(str) + " diverged"
    labels = tried["name"].map(candidate_name) + (" (" + lost + ")").where(
        tried["diverged"] > 0, ""
    )
    chosen = (tried["name"] == own.chosen).map({True: "yes", False: "no"})
    references = pd.DataFrame([own.target, own.retrain]).assign(point=REFERENCES, label=REFERENCES)
    both = pd.concat([references, tried.assign(label=labels, chosen=chosen)])
    counts = {f"n_{split}": count for split, count in own.evaluated.items()}
    return both.assign(corpus=own.corpus, objective=own.objective, adapter=own.adapter, **counts)
