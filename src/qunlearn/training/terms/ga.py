"""GA: gradient ascent on the forget rows: their negated mean token NLL, unbounded below."""

from qunlearn.training.objectives import Definition, Term

TERM = Term(
    name="ga",
    label="GA",
    rows="forget",
    source="Jang et al. 2022 (arXiv 2210.01504)",
    paper=Definition(lambda seen, _: -seen.mean_nll(), over="predictions"),
)
