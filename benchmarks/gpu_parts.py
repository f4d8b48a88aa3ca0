"""All that a GPU is needed for, in eight minutes: `benchmarks/gpu.sh` sets up and runs this.

    python -m benchmarks.gpu_parts                      # every part, each in its own process
    python -m benchmarks.gpu_parts --only lora tiny     # some of them
    python -m benchmarks.gpu_parts --miniature True        # tiny shapes, on whatever there is

A part that fails or takes longer than its limit leaves the others their turn. After each part
`gpu.json` and `gpu.md` have what is known so far, `gpu.log` what the parts printed. A `gpu.json` in
docs/results/performance is a section of docs/performance.md: `python -m
benchmarks.write_performance`.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from xml.etree import ElementTree

from benchmarks.harness import ROOT, Comparison, machine
from qunlearn.report.templates import table
from qunlearn.run.cli import run_script
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_json, write_text

MOST = 480  # seconds for all parts
Found = dict[str, Any]
ABOUT = (
    "MFU: model FLOPs (`benchmarks/step_7b.py`) over the card's dense bf16 peak. The textbook's "
    "update has a second model and all logits. One prompt at a time: a sample's seconds, scaled up."
)


@dataclass(frozen=True)
class Part:
    """Something to be measured."""

    title: str
    limit: int  # seconds
    run: Callable[[bool, Path], Found]  # given whether in miniature, and a folder for its files


def _step(way: Any, rows: int, checkpointing: bool, miniature: bool, _: Path) -> Found:
    from benchmarks import step_7b

    shape = "tiny" if miniature else "7b"
    return step_7b.measure(shape, way, rows, 3, checkpointing)


def _evaluation(miniature: bool, _: Path) -> Found:
    from benchmarks import gpu_evaluation

    return gpu_evaluation.measure(*(("tiny", 2, 1) if miniature else ("7b", 100, 3)))


def _tests(miniature: bool, folder: Path) -> Found:
    """The tests marked `gpu`: weights on the GPU equal the CPU's bit for bit, logits nearly so."""
    report = folder / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-m", "gpu", f"--junitxml={report}", "-p"]
    command += ["no:cacheprovider", "tests/test_gpu.py", *(["-k", "none"] * miniature)]
    subprocess.run(command, cwd=ROOT, check=False)
    cases = ElementTree.parse(report).getroot().iter("testcase") if report.exists() else ()
    verdicts = {
        str(case.get("name")): next((kind.tag for kind in case if kind.tag in VERDICTS), "passed")
        for case in cases
    }
    counts = {kind: list(verdicts.values()).count(kind) for kind in ("passed", *VERDICTS)}
    return counts | {"not_passed": [name for name, what in verdicts.items() if what != "passed"]}


VERDICTS = ("failure", "error", "skipped")


def _experiment(name: str, miniature: bool, folder: Path) -> Found:
    from benchmarks import gpu_runs

    return gpu_runs.measure(name, folder / name, *(["--dry-run"] if miniature else []))


PARTS: dict[str, Part] = {
    "lora": Part("An update of LoRA", 60, partial(_step, "lora", 1, False)),
    "checkpointed": Part("LoRA as in config/paper.yaml", 60, partial(_step, "lora", 1, True)),
    "full": Part("All weights as there", 80, partial(_step, "full", 4, True)),
    "textbook": Part("The textbook's LoRA", 70, partial(_step, "textbook", 1, False)),
    "evaluation": Part("300 prompts", 90, _evaluation),
    "tests": Part("Tests that need a GPU", 120, _tests),
    "tiny": Part("The tiny experiment", 120, partial(_experiment, "tiny")),
    "mini": Part("The default experiment", 240, partial(_experiment, "mini")),
}


def run_part(name: str, miniature: bool, work: Path, log: Path, seconds: float) -> Found:
    """What a part found, in a process of its own; or under `error` why it found nothing."""
    command = [sys.executable, "-m", "benchmarks.gpu_parts", "--inside", name]
    command += ["--output", str(work), "--miniature", str(miniature)]
    file = work / f"{name}.json"
    start = time.perf_counter()
    with log.open("a", encoding="utf-8") as stream:
        print(f"\n=== {name}", file=stream, flush=True)
        how: Any = {"stdout": stream, "stderr": subprocess.STDOUT, "start_new_session": True}
        process = subprocess.Popen(command, cwd=ROOT, **how)
        try:
            code = process.wait(seconds)
            why = f"exit code {code}; see {log.name}"
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            why = f"not done in {seconds:.0f} s"
    took = {"wall_seconds": round(time.perf_counter() - start, 1)}
    return took | (read_json(file) if file.exists() else {"error": why})


def comparisons(found: Mapping[str, Found]) -> list[Comparison]:
    """Of what was measured in both ways."""
    pairs = []
    ours, theirs, asked = (found.get(name, {}) for name in ("lora", "textbook", "evaluation"))
    if "seconds" in ours and "seconds" in theirs:
        seconds = [ours["seconds"]], [theirs["seconds"]]
        pairs.append(Comparison("an update of LoRA at 7B", "s", *seconds, "speed-up", 1.5))
        if theirs["peak_gb"]:
            memory = [ours["peak_gb"]], [theirs["peak_gb"]]
            pairs.append(Comparison("its peak memory", "GB", *memory, "share", 0.55))
    if "seconds" in asked:
        seconds = [asked["seconds"]], [asked["one_at_a_time_seconds"]]
        pairs.append(Comparison("300 prompts at 7B", "s", *seconds, "speed-up", 8))
    return pairs


def goals(found: Mapping[str, Found]) -> list[dict[str, str]]:
    """The goals that are no ratio."""
    least, most = 0.5, {"lora": 40, "checkpointed": 40, "full": 80}
    rows = []
    for name in (name for name in most if name in found):
        title, own, room = PARTS[name].title, found[name], most[name]
        if (mfu := own.get("mfu")) is not None:
            goal = "-" if name == "full" else f">= {least}"
            met = "-" if name == "full" else "yes" if mfu >= least else "no"
            rows.append({"what": f"{title}: MFU", "value": f"{mfu:.3g}", "goal": goal, "met": met})
        if (peak := own.get("peak_gb")) is not None:
            met = "yes" if peak <= room else "no"
            value, goal = f"{peak:.3g}", f"<= {room}"
            rows.append({"what": f"{title}: peak GB", "value": value, "goal": goal, "met": met})
    return rows


def keep(found: Mapping[str, Found], output: Path) -> None:
    """Write `gpu.json` and `gpu.md`."""
    pairs = comparisons(found)
    texts = {name: facts.get("comparison", "") for name, facts in found.items()}
    tables = {
        name: {key: value for key, value in own.items() if key != "comparison"}
        for name, own in found.items()
    }
    content = {
        "comparisons": [{**asdict(one), "ratio": round(one.ratio, 3)} for one in pairs],
        "bound_by": ABOUT,
        "facts": {"goals": goals(found), **tables},
        "machine": machine(),
    }
    write_json(output / "gpu.json", content)
    lines = [f"# {content['machine']['gpu'] or 'No GPU'}", ABOUT]
    lines.append(
        table(("What", "Ratio", "Goal"), [(p.what, f"{p.ratio:.2f}", p.goal) for p in pairs])
    )
    lines.append(table(("What", "Value", "Goal", "Met"), [tuple(g.values()) for g in goals(found)]))
    for name, facts in tables.items():
        lines += [f"## {PARTS[name].title}", table((name, "Value"), list(facts.items()))]
        lines.append(texts[name])
    write_text(output / "gpu.md", "\n\n".join(lines) + "\n")


def main(
    output: Path = ROOT / "results/gpu",
    only: tuple[str, ...] = (),
    miniature: bool = False,
    inside: str = "",
) -> None:
    """Measure all parts.

    Args:
        output: folder of the results.
        only: names of the parts; all of them where it is empty.
        miniature: tiny shapes and dry runs, to try the command out without a GPU.
        inside: one part, in this process: what the command starts for each.
    """
    output.mkdir(parents=True, exist_ok=True)
    if inside:
        write_json(output / f"{inside}.json", PARTS[inside].run(miniature, output.resolve()))
        return
    import torch

    if not torch.cuda.is_available() and not miniature:
        raise InputError("torch sees no CUDA GPU here; use a machine with one, or --miniature True")
    end, found = time.monotonic() + MOST, dict[str, Found]()
    (log := output / "gpu.log").unlink(missing_ok=True)
    with TemporaryDirectory(prefix="gpu-parts-") as work:
        for name in only or PARTS:
            left = min(PARTS[name].limit, end - time.monotonic())
            skipped = {"error": "no time left"}
            how = miniature, Path(work), log, left
            found[name] = run_part(name, *how) if left > 1 else skipped
            print(f"{name}: {found[name].get('error', 'done')}", flush=True)
            keep(found, output)


if __name__ == "__main__":
    run_script(main)
