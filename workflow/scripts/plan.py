"""Print the memory, hours and disk that an experiment needs, one line per stage.

Args:
    configfile: the experiment's configuration; of several, later ones win.
    check: instead, check models, settings, disk and memory of this machine, as the workflow
        does before its first job; write warnings to this JSON file, and report in one line
        what would make a job fail.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from qunlearn import preflight
from qunlearn.experiment import configfiles, inputs
from qunlearn.models.shape import ModelShape
from qunlearn.plan import CARDS, Job, disk, estimate
from qunlearn.run.cli import run_script
from qunlearn.run.errors import InputError

SHAPES = Path(__file__).parents[2] / "resources/shapes.yaml"


def shape_of(config: dict[str, Any], corpus: str) -> ModelShape:
    """The shape that `models.shape` names, or else that of the models, whose config.json is read.

    Raises:
        InputError: `models.shape` is not in resources/shapes.yaml, or a model cannot be read.
    """
    name = config["models"]["shape"]
    if name is None:
        return preflight.look(config, corpus)["target"]
    shapes = yaml.safe_load(SHAPES.read_text(encoding="utf-8"))
    if name not in shapes:
        raise InputError(
            f"config key 'models.shape': '{name}' is not in resources/{SHAPES.name}; use one of: "
            f"{', '.join(shapes)}, or null"
        )
    return ModelShape.from_config(shapes[name])


def table(jobs: Sequence[Job]) -> str:
    """A line a stage, the totals, and what the disk holds at once."""
    from tabulate import tabulate

    stages = {job.stage: [each for each in jobs if each.stage == job.stage] for job in jobs}
    lines = []
    for stage, mine in [*stages.items(), ("all", list(jobs))]:
        gpu, host = max(job.gpu for job in mine), max(job.host for job in mine)
        sizes = {"GPU": gpu / 1e9, "host": host / 1e9, "disk": disk(mine)[0] / 1e9}
        line: dict[str, Any] = {"stage": stage, "jobs": sum(job.count for job in mine)}
        line |= {name: f"{size:.1f}" for name, size in sizes.items()}
        for card in CARDS:
            hours = sum(job.count * card.hours(job) for job in mine)
            line[f"h {card.name}"] = f"{hours:.2f}" if gpu <= card.memory else "no room"
        lines.append(line)
    stay, work = (size / 1e9 for size in disk(jobs))
    sides = ["left"] + ["right"] * (len(lines[0]) - 1)
    return (
        f"{tabulate(lines, 'keys', 'plain', disable_numparse=True, colalign=sides)}\n\n"
        "GPU, host: memory of the largest job in GB; disk: GB; h: hours if jobs run in sequence\n"
        f"disk: {stay:.1f} GB are kept; running one job at a time takes at most "
        f"{stay + work:.1f} GB, and each further parallel job {work:.1f} GB more"
    )


@run_script
def main(configfile: tuple[Path, ...] = (), check: Path | None = None) -> None:
    config = configfiles.read(configfile)
    if check is None:
        print(table(estimate(config, {name: shape_of(config, name) for name in config["corpora"]})))
        return
    inputs.check_given(config)
    results = Path("results") / config["experiment"]
    here = preflight.preflight(config, results, cluster=False, python=config["python"])
    preflight.keep(here[0], check)
