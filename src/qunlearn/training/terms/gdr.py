"""GDR: gradient descent on the retain rows: ordinary training, by their mean token NLL."""

from qunlearn.training.objectives import Definition, Term

TERM = Term(
    name="gdr",
    label="GDR",
    rows="retain",
    source="Liu et al. 2022 (arXiv 2203.12817), as in MUSE (arXiv 2407.06460)",
    paper=Definition(lambda seen, _: seen.mean_nll(), over="predictions"),
)
