"""What jobs ask a scheduler for: memory and time of each kind, from the plan and with a margin.

A job that asks for too little is killed; one that asks for too much waits longer in the queue. So
every number here errs upwards, and a retry asks for more. Nothing here loads torch.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import ceil

from qunlearn.config import Json, runs, unlearn_settings
from qunlearn.errors import InputError
from qunlearn.planning import ModelShape, StepPlan, estimate, host
from qunlearn.planning.cards import CARDS
from qunlearn.planning.known import known_shapes
from qunlearn.sources import used

AUTO = "auto"
MIB = 2**20

MEMORY_MARGIN = 1.3
"""Times the plan's memory: its formula is within 5 % of measured peaks (docs/performance.md), and
allocators, other versions and other processors add to them."""
BESIDES = 512 * MIB
"""Beside the job's own process: two of Snakemake's on Slurm (110 MB each at their peak, measured),
the shell, and what a small process has that no formula counts."""
MEMORY_GROWTH = 1.5
"""Of each attempt over the one before it: a job that was killed for memory is most often short of
a part, not of a multiple."""
RUNTIME_MARGIN = 3
"""Times the plan's time: its share of a card's peak is an assumption, nodes are shared and differ,
and a killed job costs more than a later start. Attempt k has k times as long."""
FEWEST_MINUTES = 15
"""Of any job: imports from a cold shared disk take minutes, and no scheduler counts in seconds."""
CORE_FLOPS = 2e10
"""A second and core. Finetuning of the default experiment does 120 GFLOP/s of the plan's on one
core of the machine of docs/performance.md (AVX512, bf16), its base 100, evaluating 17 with the
start of the process in it, a large fp32 product 89. Cores without bf16 are several times slower."""
CORE_BANDWIDTH = 5e9
"""Bytes a second that generating reads; one core of a server reads two or three times that."""
DISK_A_SECOND = 1e8
"""Bytes that a shared disk gives or takes a second when others use it too: an assumption."""
OTHER_BYTES, OTHER_MINUTES = 700 * MIB, 60
"""Of jobs that the plan leaves out: tables, figures, pages. The largest of the tiny experiment took
103 MB (a figure); tests of the differences between 420 cells of 100 items were at 161 MB."""

KINDS = {
    "corpus": "data",
    "download": "data",
    "train": "train",
    "unlearn": "unlearn",
    "sweep": "unlearn",
    "quantize": "quantize",
    "gptq": "gptq",
    "ask": "evaluate",
    "evaluate": "evaluate",
    "survival": "survival",
}
"""First word of a step of the plan -> kind of job. Controls are jobs of these kinds too, but for
`match`, which trains several times and asks for as many times the time of `unlearn`."""


@dataclass(frozen=True)
class Request:
    """What a job asks for.

    Attributes:
        mem_mb: megabytes, Snakemake's unit; Slurm reads them as MiB, a twentieth more.
        runtime: minutes.
    """

    mem_mb: int
    runtime: int

    def grown(self, attempt: int) -> "Request":
        """What the job's attempt asks for, counted from 1, when this is what the first asks for."""
        growth = MEMORY_GROWTH ** (attempt - 1)
        return Request(ceil(growth * self.mem_mb), attempt * self.runtime)


def requests(config: Json) -> dict[str, Request]:
    """Kind of job -> what its first attempt asks for.

    A number of the configuration is taken as it is; `auto` is the plan's, which is made only where
    it is needed. Nothing is downloaded for it.

    Args:
        config: full, as `config.resolve` gives it.

    Raises:
        InputError: the shape of a model is needed and not known yet, or a file that the plan reads
            is damaged.
    """
    jobs = config["resources"]
    auto = [kind for kind in _kinds(config) if AUTO in jobs[kind].values()]
    if not auto:
        plan = []
    else:
        try:
            shapes = known_shapes(config, download=False)
        except InputError as error:
            raise InputError(
                f"{error}; or write mem_mb and runtime of resources.{{{','.join(auto)}}} as numbers"
            ) from None
        plan = [*estimate(config, shapes), *map(_quantizing, shapes.values())]
    return _numbers_first(config, planned(config, plan))


def least(config: Json) -> dict[str, Request]:
    """As `requests`, but for what only the plan knows: there as little as any job asks for."""
    return _numbers_first(config, planned(config, []))


def planned(config: Json, plan: Sequence[StepPlan]) -> dict[str, Request]:
    """Kind of job -> what the largest and the longest of its steps ask for."""
    found = {}
    for kind in config["resources"]:
        steps = [step for step in plan if KINDS.get(_word(step)) == kind]
        largest = max((_bytes(config, kind, step) for step in steps), default=OTHER_BYTES)
        longest = max((_seconds(config, kind, step) for step in steps), default=0.0)
        fewest = FEWEST_MINUTES if kind in KINDS.values() else OTHER_MINUTES
        if kind == "survival":
            largest = max(largest, _scaling_bytes(plan))
        found[kind] = Request(
            mem_mb=_up((MEMORY_MARGIN * largest + BESIDES) / 1e6, 100),
            runtime=_up(max(fewest, RUNTIME_MARGIN * longest / 60), 5),
        )
    return found


def _quantizing(shape: ModelShape) -> StepPlan:
    """Quantizing into a folder, which controls do even where the plan has it in memory.

    Twice the weights in fp32: the file's pages count as long as it is mapped. At 155 million
    weights jobs took 4.1 (fp32 to rtn3g64), 5.8 (bf16 to rtn3g64) and 6.9 bytes a weight (fp32 to
    nf4) over what the process takes; the plan has 4.
    """
    return StepPlan(
        "quantize",
        jobs=1,
        parameters=shape.parameters,
        trained=0,
        gpu_bytes=0,
        host_bytes=host.PROCESS + 2 * 4 * shape.parameters,
        disk_bytes=0,
    )


def _kinds(config: Json) -> list[str]:
    """Kinds that the plan has steps of."""
    made = any(
        source.kind == "made"
        for corpus in config["corpora"]
        for source in used(config, corpus).values()
    )
    gptq = any(name.startswith("gptq") for name in config["precisions"])
    unused = {"tables", *([] if made else ["train"]), *([] if gptq else ["gptq"])}
    return [kind for kind in config["resources"] if kind not in unused]


def _bytes(config: Json, kind: str, step: StepPlan) -> int:
    """Of the machine's memory. Beside a GPU at least CUDA's libraries and the weights as they are
    read; processes that share a training have all of it each."""
    size = step.host_bytes
    if config["resources"][kind]["gpu"] and step.parameters:
        size = max(size, host.CUDA_PROCESS + 4 * step.parameters)
    return size * (_processes(config) if kind == "unlearn" else 1)


def _processes(config: Json) -> int:
    """Of the unlearning run that has most."""
    settings = [
        unlearn_settings(config, run.corpus, run.objective, run.adapter) for run in runs(config)
    ]
    return max(each["processes"] if each["sharding"] == "fsdp" else 1 for each in settings)


def _scaling_bytes(plan: Sequence[StepPlan]) -> int:
    """Of scaling an adapter: as it is read, multiplied, and on its way to the disk, in fp32."""
    trained = [step.trained for step in plan if step.trained < step.parameters]
    return host.PROCESS + 3 * 4 * max(trained, default=0)


def _seconds(config: Json, kind: str, step: StepPlan) -> float:
    """On the slowest GPU that has room, or on as many cores as the job has; the weights are read
    and written besides, and rounded, or put back from what they were rounded to."""
    job = config["resources"][kind]
    moved = 2 * 4 * step.parameters / DISK_A_SECOND + step.parameters / host.ROUNDED_A_SECOND
    if job["gpu"]:
        cards = [card for card in CARDS if card.fits(step)] or CARDS
        return moved + 3600 * max(card.hours(step) for card in cards)
    computing = (step.flops + step.fp32_flops) / (CORE_FLOPS * job["threads"])
    reading = step.traffic_bytes / CORE_BANDWIDTH
    return float(moved + computing + reading + step.host_seconds)


def _word(step: StepPlan) -> str:
    return step.step.split()[0]


def _numbers_first(config: Json, found: dict[str, Request]) -> dict[str, Request]:
    """What the configuration says, and what was found where that is `auto`."""
    auto: dict[str, Json] = {kind: asdict(request) for kind, request in found.items()}
    return {
        kind: Request(
            **{name: auto[kind][name] if job[name] == AUTO else job[name] for name in auto[kind]}
        )
        for kind, job in config["resources"].items()
    }


def _up(number: float, step: int) -> int:
    """The next multiple of `step`."""
    return step * ceil(number / step)
