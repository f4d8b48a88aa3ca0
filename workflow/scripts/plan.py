"""Print what an experiment takes: memory, hours and disk, a line for each stage."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.run.cli import run_script

if TYPE_CHECKING:
    from qunlearn.models.shape import ModelShape
    from qunlearn.plan import Job

SHAPES = Path(__file__).parents[2] / "resources/shapes.yaml"


def shape_of(config: Mapping[str, Any], corpus: str) -> "ModelShape":
    """The shape that `models.shape` names, or else that of the models, whose config.json is read.

    Raises:
        InputError: `models.shape` is not in resources/shapes.yaml, or a model cannot be read.
    """
    import yaml

    from qunlearn import preflight
    from qunlearn.models.shape import ModelShape
    from qunlearn.run.errors import InputError

    name = config["models"]["shape"]
    if name is None:
        return preflight.look(dict(config), corpus)["target"].shape
    shapes = yaml.safe_load(SHAPES.read_text(encoding="utf-8"))
    if name not in shapes:
        raise InputError(
            f"config key 'models.shape': '{name}' is not in resources/{SHAPES.name}; use one of: "
            f"{', '.join(shapes)}, or null"
        )
    return ModelShape.from_config(shapes[name])


def table(jobs: Sequence["Job"]) -> str:
    """A line a stage, the totals, and what the disk holds at once."""
    from qunlearn.plan import CARDS, disk

    stages: dict[str, list[Job]] = {}
    for job in jobs:
        stages.setdefault(job.stage, []).append(job)
    lines = [["stage", "jobs", "GPU", "host", "disk", *(f"h {card.name}" for card in CARDS)]]
    for stage, mine in [*stages.items(), ("all", jobs)]:
        gpu, host = max(job.gpu for job in mine), max(job.host for job in mine)
        sizes = [f"{size / 1e9:.1f}" for size in (gpu, host, disk(mine)[0])]
        hours = [sum(job.count * card.hours(job) for job in mine) for card in CARDS]
        fits = [gpu <= card.memory for card in CARDS]
        times = [f"{h:.2f}" if fit else "no room" for h, fit in zip(hours, fits, strict=True)]
        lines.append([stage, str(sum(job.count for job in mine)), *sizes, *times])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    text = [
        first.ljust(widths[0]) + "".join(map(lambda x, w: f"  {x:>{w}}", others, widths[1:]))
        for first, *others in lines
    ]
    stay, work = (size / 1e9 for size in disk(jobs))
    return "\n".join(
        [
            *text,
            "",
            "GPU and host: GB of the largest job; disk: GB, and h: hours, of all jobs in a row",
            f"disk: {stay:.1f} GB stay; at most {stay + work:.1f} GB are there with one job "
            f"at a time, and {work:.1f} GB more for each job beside it",
        ]
    )


def main(configfile: tuple[Path, ...] = ()) -> None:
    """Print what an experiment takes before anything of it runs.

    Args:
        configfile: the experiment's configuration; of several, later ones win.
    """
    from qunlearn.experiment import configfiles
    from qunlearn.plan import estimate

    config = configfiles.read(configfile)
    shapes = {corpus: shape_of(config, corpus) for corpus in config["corpora"]}
    print(table(estimate(config, shapes)))


if __name__ == "__main__":
    run_script(main)
