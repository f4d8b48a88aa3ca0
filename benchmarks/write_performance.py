"""Write docs/performance.md from what the benchmarks kept in docs/results/performance/."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import KEPT, ROOT
from qunlearn.report.templates import table
from qunlearn.run.files import read_json, write_text

DOCUMENT = ROOT / "docs/performance.md"
INTRODUCTION = """\
# Performance

Each number is a ratio of two implementations that took turns in one run: the seconds of two runs on
a shared machine cannot be compared, but such ratios can. A ratio is the median of its rounds, with
the smallest and the largest round in brackets. A *speed-up* is how many times faster ours is; a
*share* is ours over the other. `make bench` measures everything again, each benchmark alone on one
thread, and writes this page from `docs/results/performance/`; nothing here is written by hand."""


@dataclass(frozen=True)
class Section:
    """A benchmark's part of the document.

    Attributes:
        name: of its file in docs/results/performance/, without suffix.
        title: its heading.
        about: what is compared with what.
        command: what measures it.
        columns: the headings of ours and of what it is compared with.
        within: how far a ratio may be from 1, for a comparison that has no better side.
        figure: an image beside the document, if it has one.
        unmeasured: why the file may be absent, if there is a reason.
    """

    name: str
    title: str
    about: str
    command: str
    columns: tuple[str, str] = ("Ours", "Obvious way")
    within: float | None = None
    figure: str = ""
    unmeasured: str = ""


SECTIONS = (
    Section(
        "training",
        "Training: an update of NPO+KLR",
        "The textbook way keeps a copy of the reference model and all logits in float32, and runs "
        "the retain rows twice (`benchmarks/textbook.py`).",
        "python -m benchmarks.bench_training",
    ),
    Section(
        "evaluation",
        "Evaluation: the MUSE metrics of one model",
        "The obvious ways run one prompt at a time, or plain padded batches without a shared "
        "prefix and without an early stop.",
        "python -m benchmarks.bench_evaluation",
    ),
    Section(
        "start",
        "Starting: `--help`, the imports of a job, the dry run",
        "A job that only starts, as in the workflow, against one that lets transformers import "
        "everything installed; and the cost of a script that only prints its help.",
        "python -m benchmarks.bench_start",
        columns=("Ours", "Compared with"),
    ),
    Section(
        "demo",
        "The default experiment, and its critical path",
        "How long `make demo` took on 2 cores, over the bound that no schedule can beat: the "
        "longest chain of jobs that wait for each other, or all jobs' work divided by the cores.",
        "python -m benchmarks.bench_demo",
        columns=("Wall time", "Lower bound"),
        figure="demo_critical_path.png",
    ),
    Section(
        "plan",
        "The plan's memory against measured peaks",
        "The memory that `workflow/scripts/plan.py` predicts for a step, and the measured peak.",
        "python -m benchmarks.bench_plan",
        columns=("Predicted", "Measured"),
        within=0.05,
    ),
    Section(
        "forecast",
        "The forecast from two checkpoints",
        "What `qunlearn forecast` takes at 135 million parameters and 12 formats, against what it "
        "may; and whether its memory grows with the number of layers.",
        "python -m benchmarks.bench_forecast",
        columns=("Taken", "May be"),
    ),
    Section(
        "sixteen_bits",
        "Evaluating in bfloat16, as on a GPU, instead of in float32",
        "The forget text's NLL of the default experiment's quantized models, in both.",
        "python -m benchmarks.bench_sixteen_bits",
        columns=("bfloat16", "float32"),
        within=0.015,
    ),
    Section(
        "gpu",
        "On a GPU: Llama-2-7B's shape, quantized models, whole experiments",
        "NPO+KLR at 2048 tokens, the prompts of MUSE's size, weights and tables beside the CPU's. "
        "`make gpu-wheels` collects, on a machine with a network, what a bare one with CUDA and "
        "PyTorch lacks; `make gpu` there measures all of it in at most eight minutes and writes "
        "`results/gpu/gpu.json`, which belongs in `docs/results/performance/`.",
        "make gpu",
        unmeasured="this code has not met a GPU yet",
    ),
)


def main() -> None:
    """Write the document."""
    write_text(DOCUMENT, document(KEPT))


def document(kept: Path) -> str:
    """The Markdown of all sections, from the files in `kept`; it says which are absent.

    Raises:
        InputError: a file does not parse.
    """
    parts = [INTRODUCTION]
    for section in SECTIONS:
        file = kept / f"{section.name}.json"
        parts += [f"## {section.title}", section.about]
        parts += _measured(section, read_json(file)) if file.exists() else [_absent(section)]
    return "\n\n".join(parts) + "\n"


def _absent(section: Section) -> str:
    why = f": {section.unmeasured}" if section.unmeasured else " yet"
    return f"Not measured{why}. `{section.command}` makes the numbers."


def _measured(section: Section, result: Mapping[str, Any]) -> list[str]:
    comparisons = result["comparisons"]
    parts = [table(_head(section), [_row(section, one) for one in comparisons])]
    if section.figure:
        parts.append(f"![{section.title}]({section.figure})")
    if result["bound_by"]:
        parts.append(f"What bounds it: {result['bound_by']}")
    parts += [_fact(name, value) for name, value in _tables(result["facts"]).items()]
    machine = result["machine"]
    gpu = f", {machine['gpu']}" if machine.get("gpu") else ""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    parts.append(
        f"Measured by `{section.command}` on {machine['processor']}, {machine['cores']} cores"
        f"{gpu}, OMP_NUM_THREADS: {machine['threads']}; Python {machine['python']}, {packages}."
    )
    return parts


def _head(section: Section) -> tuple[str, ...]:
    return ("What", "Unit", *section.columns, "Ratio", "Kind", "Goal", "Met")


def _row(section: Section, one: Mapping[str, Any]) -> tuple[str, ...]:
    low, high = min(_ratios(one)), max(_ratios(one))
    spread = f" ({_short(low)}–{_short(high)})" if len(one["ours"]) > 1 else ""
    return (
        one["what"],
        one["unit"],
        _short(statistics.median(one["ours"])),
        _short(statistics.median(one["baseline"])),
        f"{_short(one['ratio'])}{spread}",
        one["sense"],
        *_verdict(one, section.within),
    )


def _verdict(one: Mapping[str, Any], within: float | None) -> tuple[str, str]:
    """The goal in words, and whether the ratio meets it."""
    ratio, goal = one["ratio"], one["goal"]
    if within is not None:
        return f"1 ± {within:g}", "yes" if abs(ratio - 1) <= within else "no"
    if goal is None:
        return "–", "–"
    if one["sense"] == "speed-up":
        return f"≥ {goal:g}", "yes" if ratio >= goal else "no"
    return f"≤ {goal:g}", "yes" if ratio <= goal else "no"


def _ratios(one: Mapping[str, Any]) -> list[float]:
    pairs = zip(one["ours"], one["baseline"], strict=True)
    if one["sense"] == "speed-up":
        return [baseline / ours for ours, baseline in pairs]
    return [ours / baseline for ours, baseline in pairs]


def _short(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _tables(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, with all plain values gathered under one heading, which comes first."""
    plain = {name: value for name, value in facts.items() if not isinstance(value, dict | list)}
    others = {name: value for name, value in facts.items() if name not in plain}
    return ({"facts": plain} if plain else {}) | others


def _fact(name: str, value: Any) -> str:
    """A fact as a table: of names and values, or a row for each dictionary in it."""
    title = name.replace("_", " ").capitalize()
    if isinstance(value, dict) and all(isinstance(row, dict) for row in value.values()):
        value = [{title: key, **row} for key, row in value.items()]
    if isinstance(value, dict):
        rows: list[Sequence[object]] = [(_words(key), inner) for key, inner in value.items()]
        return table((title, "Value"), rows)
    if value and all(isinstance(row, dict) for row in value):
        head = [_words(key) for key in value[0]]
        return f"{title}:\n\n" + table(
            head, [[row.get(key, "–") for key in value[0]] for row in value]
        )
    return f"{title}: {', '.join(str(item) for item in value)}."


def _words(name: str) -> str:
    return name.replace("_", " ")


if __name__ == "__main__":
    main()
