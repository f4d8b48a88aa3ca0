"""What becomes of one update on many formats, from its two checkpoints alone: tables and figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from qunlearn.experiment.labels import precision_name
from qunlearn.models.updates import quantized_layers
from qunlearn.quantize.method import Precision, method_of
from qunlearn.report.templates import table
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_text
from qunlearn.survival.forecast import AMPLIFIED, EDGE, THRESHOLD, Verdict, ratio, verdict
from qunlearn.survival.measure import measure
from qunlearn.survival.table import MATRICES, UNDEFINED, overall, write

FORMATS = (
    *("int8", "nf4", "fp4", "rtn4g128", "rtn4a128", "q8_0", "q6_k", "q5_k", "q4_k", "q4_0"),
    *("iq4_nl", "q3_k", "q2_k", "mxfp4", "nvfp4"),
)
"""What models are shipped in and what is known without a quantized model; `rtn4a128` is AWQ's grid
without its scaling of channels, `rtn4g128` that of symmetric 4-bit GPTQ without its calibration."""
WIDTHS = {"figure": 0.27, "margin": 0.5}  # inches: a format's row, and both ends
COLOURS = {"lost": "#D55E00", "on the edge": "#E69F00", "arrives": "#009E73"}
COLOURS |= {"amplified": "#0072B2", "nothing moved": "#888888", "undefined": "#888888"}
RATIOS = (0.1, 10.0)  # beyond them a dot lies on the edge of the figure


class Forecast(NamedTuple):
    """What becomes of the update in one format, over all quantized matrices: forecast.csv."""

    format: str
    bits: float  # per weight, as shipped: codes and scales
    moved: float  # share of weights with d != 0
    zero: float  # share that the grid of the model before rounds to zero
    ratio: float  # of the two
    projection: float  # of what arrives, each model on its own grid
    cosine: float  # likewise
    verdict: Verdict


def split(before: Path, formats: Sequence[str]) -> tuple[list[str], list[str]]:
    """Which formats fit the matrices of a checkpoint, and why the others do not, a line each."""
    layers, fit, misfits = quantized_layers(before), [], []
    for name in formats:
        try:
            method_of(name).check(layers, Precision.parse(name))
            fit.append(name)
        except InputError as problem:
            misfits.append(str(problem))
    return fit, misfits


def forecast_pair(
    before: Path,
    after: Path,
    formats: Sequence[str],
    packed: Mapping[str, tuple[Path, Path]],
) -> list[Forecast]:
    """The forecast for each format; one matrix is in memory at a time.

    Args:
        before, after: checkpoints; or `after` a LoRA adapter of `before`.
        formats: names of precisions.
        packed: of formats that are only known from folders, e.g. gptq4: those of both models.

    Raises:
        InputError: as `measure`.
    """
    found = []
    measured = measure(before, after, [Precision.parse(name) for name in formats], packed)
    for name, (matrices, _) in measured.items():
        whole = overall(pd.DataFrame(matrices, columns=list(MATRICES)))
        shares = float(whole["moved"]), float(whole["zero_bin"])
        arrives = float(whole["projection_adaptive"])
        cosine, word = float(whole["cosine_adaptive"]), verdict(*shares, arrives)
        bits = method_of(name).shipped_bits(Precision.parse(name))
        found.append(Forecast(name, bits, *shares, ratio(*shares), arrives, cosine, word))
    return found


def write_pair(folder: Path, found: Sequence[Forecast], text: str) -> None:
    """Write forecast.csv, `text` as forecast.md, forecast.png and forecast.pdf into a folder."""
    write(folder / "forecast.csv", Forecast._fields, found)
    write_text(folder / "forecast.md", text)
    draw(folder, found)


def markdown(found: Sequence[Forecast], left_out: Sequence[str] = ()) -> str:
    """The table, what its words mean, and which formats were left out, and why."""
    head = ["Format", "bits", "moved", "rounded to zero", "ratio", "projection", "cosine"]
    head += ["forecast"]
    rows = [
        [
            *(precision_name(row.format), f"{row.bits:.2f}", f"{row.moved:.3f}"),
            *(f"{row.zero:.3f}", short(row.ratio), short(row.projection)),
            *(short(row.cosine), row.verdict),
        ]
        for row in found
    ]
    notes = [
        "The rule: an update is lost where the share of weights that moved is smaller than the "
        f"share that the grid rounds to zero (ratio below {THRESHOLD:g}).",
        f"On the edge: {EDGE:g} to {1 / EDGE:.2f}, where the rule has been wrong. Amplified: above "
        f"that, and the projection exceeds {AMPLIFIED:g}.",
        "Bits: per weight, with its share of the scales. Projection: the share of the update that "
        "arrives, each model on its own grid; cosine: low where rounding adds noise.",
        *(f"Left out: {line}" for line in left_out),
    ]
    shown = table(head, rows, right=head[1:-1])
    return f"{shown}\n\n" + "\n".join(f"* {line}" for line in notes) + "\n"


def draw(folder: Path, found: Sequence[Forecast]) -> None:
    """Draw each format's ratio, with its projection beside it, in the colour of its verdict."""
    from qunlearn.report.figures.drawing import plain_log
    from qunlearn.report.figures.page import sheet

    low, high = RATIOS
    words = {
        "title": "Does the update survive the format?",
        "how_to_read": "Left of 1, fewer weights moved than the grid rounds to zero: the update is "
        "lost. In the band the rule has been wrong.\nNumbers: the projection, 1 where all of the "
        "update arrives. Dots on an edge lie beyond it.",
        "rows": {"": ""},
        "height": WIDTHS["margin"] + WIDTHS["figure"] * len(found),
    }
    with sheet("forecast", [""], folder, title=str, words=words) as drawn:
        axes = drawn["", ""]
        axes.set_xscale("log")
        axes.set_xlim(low / 1.2, high * 1.6)
        plain_log(axes.xaxis)
        axes.set_xlabel("Share of weights that moved / share that the grid rounds to zero")
        axes.set_ylim(len(found) - 0.5, -0.5)
        axes.set_yticks(range(len(found)), [precision_name(row.format) for row in found])
        axes.axvspan(EDGE, 1 / EDGE, color="#DDDDDD", zorder=1)
        axes.axvline(THRESHOLD, color="#444444", linewidth=1.1, zorder=2)
        for place, row in enumerate(found):
            at = min(max(row.ratio, low), high)
            colour = COLOURS[row.verdict]
            axes.plot([at], [place], "o", color=colour, label=row.verdict, zorder=3)
            beside: Any = {"xytext": (7, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(short(row.projection), (at, place), **beside, fontsize=8)


def short(value: float) -> str:
    """A ratio or share in print."""
    return UNDEFINED if value != value else "> 99" if value > 99 else f"{value:z.2f}"
