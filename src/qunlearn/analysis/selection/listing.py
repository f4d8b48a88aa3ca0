"""Every candidate of every grid as CSV and as Markdown, and what is said of the choices."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import pandas as pd

from qunlearn.analysis.selection.choice import SCORES, Rule, Selection
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name, number
from qunlearn.experiment.names import DIVERGED, REFERENCES
from qunlearn.run.files import write_text

COLUMNS = (
    *("corpus", "objective", "adapter", "point", "epochs", *SCORES),
    *("n_forget", "n_retain", "seeds", "diverged", "front", "chosen"),
)
_HEADS = {"knowmem": "KnowMem ↓", "utility": "Utility ↑", "nll_forget": "NLL forget ↑"}
_MARKS = {True: "yes", False: "no"}
_ABOUT = (
    "KnowMem and Utility: ROUGE-L F1 x 100 in bf16, means over the seeds; NLL forget: nats a token "
    "of the forget texts, no part of any rule.",
    "Front: no other candidate is better in KnowMem or Utility and at least as good in the other.",
)
RULES: dict[Rule, str] = {
    "muse": "chosen by MUSE's rule",
    "pareto": "chosen from the front of forget KnowMem and Utility",
    "fixed": "named in the configuration",
}
WARNING = (
    "Warning: settings were chosen on the very questions that this table reports; on new questions "
    "KnowMem and Utility are likely to be worse."
)


def write_table(selections: Sequence[Selection], folder: Path) -> None:
    """Write `candidates.csv` and `candidates.md` into `folder`.

    The CSV has one line a candidate; target and retrain of each cell are lines with point `target`,
    … Scores are empty where every seed diverged; `front` and `chosen` are yes or no.
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
    for mark in ("chosen", "front"):
        shown[mark.capitalize()] = (table[mark] == "yes").map({True: "✓", False: ""})
    for score, head in _HEADS.items():
        texts = [DIVERGED if isnan(x) else number(score, x) for x in table[score]]
        shown[head] = pd.Series(texts)
    align = ["left"] * 6 + ["right"] * 3
    body = pd.DataFrame(shown).to_markdown(index=False, disable_numparse=True, colalign=align)
    reasons = [f"{_chosen(own)}: {own.reason}." for own in selections]
    below = [*reasons, f"Questions: {asked(selections)}.", *_ABOUT]
    write_text(folder / "candidates.md", "\n* ".join([f"{body}\n", *below]) + "\n")


def notes(selections: Sequence[Selection]) -> list[str]:
    """Under the main table: a sentence a cell, then one on the questions; none if none is swept."""
    found = [
        f"{_chosen(own)} among {len(own.candidates)} candidates"
        f"{f' ({own.caveat})' if own.caveat else ''}."
        for own in selections
    ]
    by_rule = [own for own in selections if own.rule != "fixed"]
    if any(own.questions == "test" for own in by_rule):
        found.append(WARNING)
    elif by_rule:
        numbers = asked(by_rule)
        found.append(f"Settings were chosen on questions that are not in this table: {numbers}.")
    return found


def asked(selections: Sequence[Selection]) -> str:
    """How many questions the candidates of each corpus were asked."""
    return "; ".join(
        distinct(
            f"{corpus_name(own.corpus)} {own.asked['forget']} on forget and "
            f"{own.asked['retain']} on retain"
            for own in selections
        )
    )


def candidate_name(name: str) -> str:
    """`r16-a32/epoch5` -> `r16-a32 after 5 epochs`."""
    point, _, epoch = name.partition("/epoch")
    return f"{point} after {epoch} epoch{'' if epoch == '1' else 's'}"


def _chosen(own: Selection) -> str:
    names = corpus_name(own.corpus), method_name(own.objective), adapter_name(own.adapter)
    return f"{', '.join(names)}: {candidate_name(own.chosen)}, {RULES[own.rule]}"


def _table(own: Selection) -> pd.DataFrame:
    """A cell's references and candidates: COLUMNS, and a label for people."""
    tried = own.candidates
    lost = tried["diverged"].astype(str) + " of " + tried["seeds"].astype(str) + " diverged"
    labels = tried["name"].map(candidate_name) + (" (" + lost + ")").where(
        tried["diverged"] > 0, ""
    )
    chosen, front = (tried["name"] == own.chosen).map(_MARKS), tried["front"].map(_MARKS)
    references = pd.DataFrame([own.target, own.retrain]).assign(point=REFERENCES, label=REFERENCES)
    both = pd.concat([references, tried.assign(label=labels, chosen=chosen, front=front)])
    asked = {"n_forget": own.asked["forget"], "n_retain": own.asked["retain"]}
    return both.assign(corpus=own.corpus, objective=own.objective, adapter=own.adapter, **asked)
