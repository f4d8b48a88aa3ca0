"""What changes from bf16 to a few bits: every metric over the precisions."""

from pathlib import Path

from qunlearn.report.figures.over_precisions import draw_over_precisions
from qunlearn.report.figures.values import scores

ROWS = {
    "verbmem": "VerMem ↓\nROUGE-L",
    "knowmem": "KnowMem ↓\nROUGE-L",
    "privleak": "PrivLeak → 0\n%",
    "utility": "Utility ↑\nROUGE-L",
    "nll_forget": "Forget NLL ↑\nnats a token",
}
WORDS = (
    "What do fewer bits change?",
    "A level line: quantization changes nothing. A line that runs to target's: forgetting is lost."
    "\nBars and bands: 95 % intervals; ",
)
HEIGHT = 1.45  # inches, of a panel


def plot(summary: Path, output: Path) -> None:
    """Draw every metric over the precisions, but for mid-rise ones, into the folder `output`.

    Raises:
        InputError: `summary` holds no variant that the figure knows, or does not parse.
    """
    found = scores(summary, ROWS)
    draw_over_precisions(found, ROWS, WORDS, HEIGHT, output, "slope")
