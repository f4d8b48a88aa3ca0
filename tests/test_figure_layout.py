"""Where panels and names stand."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure

from qunlearn.report.figures.labels import (
    DIRECTIONS,
    DISTANCES,
    LEADER_FROM,
    along,
    nearest,
    place,
    text_size,
)
from qunlearn.report.figures.layout import bands, even_rows, panel, spread

FRAME = (0.0, 0.0, 100.0, 100.0)


def overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    apart_x = one[2] <= other[0] or other[2] <= one[0]
    return not (apart_x or one[3] <= other[1] or other[3] <= one[1])


def test_a_panel_is_measured_from_the_upper_left_corner() -> None:
    axes = panel(Figure(figsize=(10, 5)), left=1, top=2, width=4, height=1)

    assert axes.get_position().bounds == pytest.approx((0.1, 0.4, 0.4, 0.2))


def test_positions_far_apart_stay_and_near_ones_share_the_way() -> None:
    assert spread([0.0, 1.0, 3.0], 0.5, 0.0, 4.0) == pytest.approx([0.0, 1.0, 3.0])
    assert spread([1.0, 1.0, 3.0], 0.5, 0.0, 4.0) == pytest.approx([0.75, 1.25, 3.0])
    # A pair that is moved onto its neighbour takes that along: three about their mean.
    assert spread([1.0, 1.0, 1.2], 0.6, 0.0, 4.0) == pytest.approx(
        [1.0667 - 0.6, 1.0667, 1.6667], abs=1e-4
    )
    assert spread([], 0.5, 0.0, 4.0) == []


def test_positions_stay_between_the_ends() -> None:
    assert spread([0.0, 0.0], 0.5, 0.0, 4.0) == pytest.approx([0.0, 0.5])
    assert spread([4.0, 4.0], 0.5, 0.0, 4.0) == pytest.approx([3.5, 4.0])


def test_rows_are_as_few_as_can_be_and_even() -> None:
    assert even_rows("abcde") == [("a", "b", "c"), ("d", "e")]
    assert even_rows("abcd") == [("a", "b", "c", "d")]
    assert even_rows("") == []
    assert bands([("news", "ga"), ("books", "ga")]) == ((("news", "ga"), ("books", "ga")),)


def test_a_lonely_name_stands_right_of_its_point() -> None:
    (box,) = place([(50.0, 50.0)], [(20.0, 8.0)], np.empty((0, 4)), FRAME)

    assert box == (56.0, 46.0, 76.0, 54.0)


def test_names_cover_neither_points_nor_each_other_and_stay_inside() -> None:
    anchors = [(50.0, 50.0), (52.0, 51.0), (54.0, 49.0), (95.0, 50.0)]
    taken = np.concatenate([along(anchor, anchor, 1, 3.0) for anchor in anchors])
    boxes = place(anchors, [(25.0, 8.0)] * 4, taken, FRAME)

    assert not any(overlap(one, other) for one, other in combinations(boxes, 2))
    assert not any(overlap(box, tuple(point)) for box in boxes for point in taken)
    assert all(box[0] >= 0 and box[1] >= 0 and box[2] <= 100 and box[3] <= 100 for box in boxes)


def test_to_cover_a_speck_is_better_than_to_stand_far_off() -> None:
    near = [(50.0 + 16 * right, 50.0 + 10 * up) for right, up in DIRECTIONS]  # the middles
    specks = np.concatenate([along(middle, middle, 1, 0.3) for middle in near])
    (box,) = place([(50.0, 50.0)], [(20.0, 8.0)], specks, FRAME)

    x, y = nearest((50.0, 50.0), box)
    assert max(abs(x - 50), abs(y - 50)) == DISTANCES[0]


def test_a_far_name_stands_where_its_line_covers_least() -> None:
    wall = [20.0, 35.0, 80.0, 65.0]  # leaves room above and below
    hurdle = [30.0, 58.0, 70.0, 64.0]  # on every way up
    anchor = (50.0, 50.0)
    (free,) = place([anchor], [(20.0, 8.0)], np.array([wall]), FRAME)
    (moved,) = place([anchor], [(20.0, 8.0)], np.array([wall, hurdle]), FRAME)

    assert free[1] >= 65 and moved[3] <= 35
    assert 50 - nearest(anchor, moved)[1] > LEADER_FROM


def test_a_longer_text_is_wider_in_the_figures_font() -> None:
    (short, height), (long, _) = text_size("LoRA", 10), text_size("LoRA LoRA", 10)

    assert 20 < short < 35 and 2 * short < long + 6
    assert height == 11
