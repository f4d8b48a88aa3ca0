"""The plan's memory against measured peaks, at three small sizes: within 15 %."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.bench_plan import compare  # noqa: E402


def test_predicted_peaks_are_within_15_percent_of_measured_ones() -> None:
    found = compare()
    for one in found:
        print(f"{one.what}: predicted {one.ours[0]:.0f} MB, measured {one.baseline[0]:.0f} MB")
    wrong = {one.what: round(one.ratio, 3) for one in found if not 0.85 <= one.ratio <= 1.15}
    assert not wrong
    assert sum(one.baseline[0] >= 200 for one in found) >= 12
