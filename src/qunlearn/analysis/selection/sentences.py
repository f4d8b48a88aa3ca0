"""What is said under the tables about how settings were chosen."""

from collections.abc import Sequence

from qunlearn.analysis.selection.choice import Rule, Selection
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name

RULES: dict[Rule, str] = {
    "muse": "chosen by MUSE's rule",
    "pareto": "chosen from the front of forget KnowMem and Utility",
    "fixed": "named in the configuration",
}
WARNING = (
    "Warning: settings were chosen on the very questions that this table reports; on new questions "
    "KnowMem and Utility are likely to be worse."
)


def notes(selections: Sequence[Selection]) -> list[str]:
    """Under the main table: a sentence a cell, then one on the questions; none if none is swept."""
    found = [_choice(own) for own in selections]
    if any(own.questions == "test" for own in _by_rule(selections)):
        return [*found, WARNING]
    if numbers := asked(_by_rule(selections)):
        found.append(f"Settings were chosen on questions that are not in this table: {numbers}.")
    return found


def reasons(selections: Sequence[Selection]) -> list[str]:
    """Under the table of the candidates: a sentence a cell on why that one."""
    return [
        f"{_cell(own)}: {candidate_name(own.chosen)}, {RULES[own.rule]}: {own.reason}."
        for own in selections
    ]


def asked(selections: Sequence[Selection]) -> str:
    """How many questions the candidates of each corpus were asked."""
    return "; ".join(
        distinct(
            f"{corpus_name(own.corpus)} {own.asked.forget} on forget and {own.asked.retain} "
            "on retain"
            for own in selections
        )
    )


def candidate_name(name: str) -> str:
    """`r16-a32/epoch5` -> `r16-a32 after 5 epochs`."""
    point, _, epoch = name.partition("/epoch")
    return f"{point} after {epoch} epoch{'' if epoch == '1' else 's'}"


def _choice(selection: Selection) -> str:
    caveat = f" ({selection.caveat})" if selection.caveat else ""
    return (
        f"{_cell(selection)}: {candidate_name(selection.chosen)}, {RULES[selection.rule]} "
        f"among {len(selection.candidates)} candidates{caveat}."
    )


def _cell(selection: Selection) -> str:
    return (
        f"{corpus_name(selection.corpus)}, {method_name(selection.objective)}, "
        f"{adapter_name(selection.adapter)}"
    )


def _by_rule(selections: Sequence[Selection]) -> list[Selection]:
    """Those that questions had a part in."""
    return [own for own in selections if own.rule != "fixed"]
