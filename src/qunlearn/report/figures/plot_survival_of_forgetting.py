"""The figure that answers the question: what each precision leaves of the forgetting."""

from pathlib import Path

from qunlearn.report.figures.over_precisions import draw_over_precisions
from qunlearn.report.figures.values import scores

ROWS = {
    "nll_forget": "Forget NLL\nnats a token",
    "verbmem": "VerMem\nROUGE-L",
    "knowmem": "KnowMem\nROUGE-L",
}
WORDS = (
    "Does forgetting survive quantization?",
    "Where a coloured line meets the black line of target at the same precision, "
    "forgetting is lost.\nBars and bands: 95 % intervals; ",
)
HEIGHT = 1.45  # inches, of a panel


def plot(summary: Path, output: Path) -> None:
    """Draw the metrics of the forget set over the precisions into the folder `output`.

    Raises:
        InputError: `summary` holds no variant that the figure knows, or does not parse.
    """
    found = scores(summary, ROWS, midrise=True)
    draw_over_precisions(found, ROWS, WORDS, HEIGHT, output, "survival_of_forgetting")
