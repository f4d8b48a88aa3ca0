"""The plan as a table for a terminal."""

from collections.abc import Sequence

from qunlearn.planning.cards import BANDWIDTH_SHARE, CARDS, UTILISATION
from qunlearn.planning.disk import bound, peak_disk, working
from qunlearn.planning.steps import StepPlan

NONE = "-"
NAMED = 3  # of the steps that are too large for a card


def table(steps: Sequence[StepPlan]) -> str:
    """A line a step, the totals, and which steps fit which card."""
    heads = ["step", "jobs", "weights", "trained", "GPU", "host", "disk", "scratch", "FLOPs"]
    heads += [f"h {card.name}" for card in CARDS]
    lines = [heads, *map(_line, steps), _total(steps)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows = [_aligned(line, widths) for line in lines]
    rule = "-" * len(rows[0])
    return "\n".join([rows[0], rule, *rows[1:-1], rule, rows[-1], "", *_notes(steps)])


def _line(step: StepPlan) -> list[str]:
    """Memory and FLOPs of a job; disk of all; hours of all jobs one after the other."""
    return [
        step.step,
        str(step.jobs),
        _short(step.parameters),
        _short(step.trained),
        _gb(step.gpu_bytes),
        _gb(step.host_bytes),
        _gb(step.disk_bytes),
        _gb(step.scratch_bytes),
        _short(step.flops + step.fp32_flops),
        *(_hours(card.hours(step) * step.jobs) for card in CARDS),
    ]


def _total(steps: Sequence[StepPlan]) -> list[str]:
    flops = sum((step.flops + step.fp32_flops) * step.jobs for step in steps)
    return [
        "all (memory: the most)",
        str(sum(step.jobs for step in steps)),
        "",
        "",
        _gb(max((step.gpu_bytes for step in steps), default=0)),
        _gb(max((step.host_bytes for step in steps), default=0)),
        _gb(sum(step.disk_bytes for step in steps)),
        _gb(max((step.scratch_bytes for step in steps), default=0)),
        _short(flops),
        *(_hours(sum(card.hours(step) * step.jobs for step in steps)) for card in CARDS),
    ]


def _notes(steps: Sequence[StepPlan]) -> list[str]:
    notes = [
        f"disk: {_gb(sum(step.disk_bytes for step in steps))} GB stay; at most "
        f"{_gb(peak_disk(steps))} GB are there with one job at a time, {_gb(working(steps))} GB "
        f"more for each that runs beside it, and never more than {_gb(bound(steps))} GB",
        "GPU, host, disk, scratch in GB; GPU, host, scratch and FLOPs of one job, disk and hours "
        f"of all jobs in a row, at {UTILISATION:.0%} of a card's arithmetic and "
        f"{BANDWIDTH_SHARE:.0%} of its bandwidth",
    ]
    for card in CARDS:
        large = [step for step in steps if not card.fits(step)]
        if large:
            large.sort(key=lambda step: -step.gpu_bytes)
            names = "; ".join(f"{step.step} ({_gb(step.gpu_bytes)} GB)" for step in large[:NAMED])
            names += f"; and {len(large) - NAMED} more" if len(large) > NAMED else ""
            notes.append(f"too large for {card.name} ({_gb(card.usable)} GB usable): {names}")
        else:
            notes.append(f"everything fits {card.name} ({_gb(card.usable)} GB usable)")
    return notes


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = cells
    parts = [first.ljust(widths[0])]
    parts += [cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)]
    return "  ".join(parts)


def _gb(size: float) -> str:
    if not size:
        return NONE
    return f"{size / 1e9:.2f}" if size < 1e10 else f"{size / 1e9:.1f}"


def _hours(hours: float) -> str:
    if not hours:
        return NONE
    return "<0.01" if hours < 0.005 else f"{hours:.2f}" if hours < 10 else f"{hours:.0f}"


def _short(number: float) -> str:
    """`6.74G`, `1.2P`."""
    if not number:
        return NONE
    for power, letter in ((18, "E"), (15, "P"), (12, "T"), (9, "G"), (6, "M"), (3, "k")):
        if number >= 10**power:
            return f"{number / 10**power:.3g}{letter}"
    return f"{number:.0f}"
