"""Names beside the points of a scatter, where they cover neither points nor each other."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

Floats = NDArray[np.float64]
DISTANCES = (6.0, 11.0, 17.0, 24.0, 32.0, 42.0)  # points, from a marker's centre to its label
DIRECTIONS = tuple(
    (right, up)
    for up in (0.0, 1.0, -1.0)
    for right in ((1.0, -1.0) if up == 0 else (0.0, 1.0, -1.0, 0.5, -0.5))
)
PADDING = 2.0  # points, left and right of a text
LEADER_FROM = 10.0  # points between marker and label from which a line joins them
LEADER_RADIUS = 1.5  # points: of the small squares that stand for the line
LEADER_SAMPLES = np.arange(5.0, 60.0, 4.0)  # points from the centre; its own marker costs nothing
COVERED, OUTSIDE, FARTHER = 4.0, 100.0, 2.0
"""Costs: of a square point that is covered, of a point of overhang, of a point of distance."""
ROUNDS = 3


def text_size(text: str, size: float) -> tuple[float, float]:
    """Width and height that a line of the figures' font takes up, in points."""
    path = TextPath((0, 0), text, prop=FontProperties(family="DejaVu Sans", size=size))
    return float(path.get_extents().width) + 2 * PADDING, 1.1 * size


def along(start: Sequence[float], end: Sequence[float], samples: int, radius: float) -> Floats:
    """Squares on a straight line, both ends among them: [samples, 4] boxes."""
    centres = np.linspace(start, end, samples)
    return np.concatenate([centres - radius, centres + radius], axis=-1)


def place(
    anchors: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    taken: Floats,
    frame: tuple[float, float, float, float],
) -> list[tuple[float, float, float, float]]:
    """A box for the label of each anchor, where it and the line to its anchor cover least.

    One after the other, for a few rounds, each label takes the place of 12 directions at 6
    distances that costs least: what it covers of `taken` and of the other labels and their lines,
    its overhang over `frame`, and its distance.

    Args:
        anchors: x, y of the markers.
        sizes: width and height of the labels.
        taken: [n, 4], boxes to leave free.
        frame: the box to stay in.

    Returns:
        Boxes: left, bottom, right and top, in points as all of this.
    """
    choices = [_choices(*anchor, *size) for anchor, size in zip(anchors, sizes, strict=True)]
    distances = np.repeat(DISTANCES, len(DIRECTIONS))
    fixed = [
        COVERED * _overlaps(boxes, taken)
        + OUTSIDE * _overhangs(boxes[:, 0], np.array(frame))
        + FARTHER * distances
        for boxes in choices
    ]
    chosen: dict[int, Floats] = {}  # the label's box, then those of its line
    for _ in range(ROUNDS):
        for index, boxes in enumerate(choices):
            others = [own for label, own in chosen.items() if label != index]
            covered = _overlaps(boxes, np.concatenate([np.empty((0, 4)), *others]))
            chosen[index] = boxes[int((fixed[index] + COVERED * covered).argmin())]
    return [tuple(map(float, chosen[index][0])) for index in range(len(choices))]  # type: ignore[misc]


def nearest(
    anchor: tuple[float, float], box: tuple[float, float, float, float]
) -> tuple[float, float]:
    """The point of `box` that is nearest to `anchor`."""
    left, bottom, right, top = box
    return min(max(anchor[0], left), right), min(max(anchor[1], bottom), top)


def _leader(anchor: tuple[float, float], box: tuple[float, float, float, float]) -> Floats:
    """[samples, 4]: the line from a marker's rim to its label; past its end the boxes are empty."""
    end = nearest(anchor, box)
    length = math.dist(anchor, end)
    if length <= LEADER_FROM:
        return np.zeros((len(LEADER_SAMPLES), 4))
    centres = anchor + LEADER_SAMPLES[:, None] / length * np.subtract(end, anchor)
    boxes: Floats = np.concatenate([centres - LEADER_RADIUS, centres + LEADER_RADIUS], axis=1)
    boxes[length < LEADER_SAMPLES] = 0.0
    return boxes


def _choices(x: float, y: float, width: float, height: float) -> Floats:
    """[distances x directions, 1 + samples, 4]: a label's box, then those of its line."""
    found = []
    for distance in DISTANCES:
        for right, up in DIRECTIONS:
            left = x + right * distance + (right - 1) * width / 2
            bottom = y + up * distance + (up - 1) * height / 2
            box = left, bottom, left + width, bottom + height
            found.append(np.concatenate([[box], _leader((x, y), box)]))
    return np.array(found)


def _overlaps(boxes: Floats, obstacles: Floats) -> Floats:
    """[choices]: the area that the parts of each choice have in common with [n, 4] obstacles."""
    parts = boxes[:, :, None]
    sides = np.minimum(parts[..., 2:], obstacles[:, 2:]) - np.maximum(
        parts[..., :2], obstacles[:, :2]
    )
    np.maximum(sides, 0, out=sides)
    area: Floats = (sides[..., 0] * sides[..., 1]).sum(axis=(1, 2))
    return area


def _overhangs(labels: Floats, frame: Floats) -> Floats:
    """[choices]: how far each label reaches over the frame, all sides together."""
    over = np.maximum(frame[:2] - labels[:, :2], 0) + np.maximum(labels[:, 2:] - frame[2:], 0)
    total: Floats = over.sum(axis=1)
    return total
