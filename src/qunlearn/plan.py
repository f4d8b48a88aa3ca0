"""What an experiment takes before it runs: memory, disk and hours of its jobs. Loads no torch."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil

from qunlearn.corpora.sizes import Texts, read_sizes, training_rows
from qunlearn.experiment import config as configuration
from qunlearn.experiment import controls
from qunlearn.experiment.config import Json, unlearn_settings, variants
from qunlearn.models.shape import ModelShape, Training
from qunlearn.models.sources import used
from qunlearn.quantize.method import Precision, method_of
from qunlearn.settings.fixed import INT8_ROWS, MOST_LOGITS, NORM_RUNS
from qunlearn.training.objectives import Objective

# Measured on the machine of docs/performance.md:
PROCESS = 700 * 2**20  # bytes of a process with torch and transformers, 560 to 700 MiB
COMPARED = 2e7  # weights with a grid, a core and second; rounding is in the methods' `speed`
SERIAL = 0.1  # share of both that more threads do not take over: nf4 .04, fp4 .07, int8 .15
CORE_FLOPS, CORE_BANDWIDTH = 2e10, 5e9  # training does 100e9, evaluating a small model 17e9
# Assumptions:
CUDA_CONTEXT, CUDA_PROCESS = 500 * 2**20, 3 * 2**30  # bytes of a GPU and its host besides tensors
UTILISATION = 0.4  # of a card's dense peak: .21 to .46 in PaLM's table 3 (Chowdhery et al. 2022)
BANDWIDTH_SHARE, USABLE = 0.6, 0.97  # of a card's bandwidth, by generation; of its memory
AUTO_ROWS = 32  # of a batch where batch_size is auto, for its time; one row is the least that fits
DISK_BANDWIDTH = 1e8  # bytes a second, of a disk that others use too
# Requests err upwards: a killed job costs more than a longer wait in the queue.
MEMORY_MARGIN, RUNTIME_MARGIN = 1.3, 3
BESIDES = 512 * 2**20  # bytes of two processes of Snakemake on Slurm, and a shell
FEWEST_MINUTES, TABLE_MINUTES = 15, 60  # imports from a cold shared disk; tables are not planned
TRAINED_ON = {"base": ["pretrain"], "target": ["forget", "retain1", "retain2"]}
TRAINED_ON["retrain"] = TRAINED_ON["target"][1:]


@dataclass(frozen=True)
class Job:
    """`count` equal jobs and what each takes; memory and disk in bytes."""

    kind: str  # its key in `resources`
    stage: str  # its row in the table
    weights: int  # of the model that it works on
    host: int  # the most memory at once
    gpu: int = 0
    flops: float = 0.0  # in bf16
    fp32_flops: float = 0.0
    traffic: float = 0.0  # bytes of the GPU's memory that generation reads
    seconds: float = 0.0  # on the processor
    disk: int = 0  # what it leaves
    stays: bool = True  # or goes before the next such job
    scratch: int = 0  # on the disk, while it runs
    count: int = 1


@dataclass(frozen=True)
class Card:
    """A GPU: usable bytes of memory; operations a second, dense; bytes that it reads a second."""

    name: str
    memory: float
    flops: float
    fp32_flops: float
    bandwidth: float

    def hours(self, job: Job) -> float:
        """Of one of the jobs."""
        computing = job.flops / self.flops + job.fp32_flops / self.fp32_flops
        reading = job.traffic / self.bandwidth
        return (computing / UTILISATION + reading / BANDWIDTH_SHARE + job.seconds) / 3600


CARDS = (
    # NVIDIA: datasheets of A100 (2021) and H100 (2023), SXM; Ada GPU architecture (2022), app. A.
    Card("A100", USABLE * 80 * 2**30, 312e12, 19.5e12, 2039e9),
    Card("H100", USABLE * 80 * 2**30, 989e12, 67e12, 3350e9),
    Card("RTX 4090", USABLE * 24 * 2**30, 165.2e12, 82.6e12, 1008e9),
)


def estimate(config: Json, shapes: Mapping[str, ModelShape]) -> list[Job]:
    """The jobs of an experiment, but those of tables and figures, by the shapes of its models.

    Each has the GPU memory that it takes where there is a GPU, and the host's as configured.
    """
    jobs: list[Job] = []
    for corpus in config["corpora"]:
        plan = _Plan(config, corpus, shapes[corpus], read_sizes(config, corpus))
        jobs += [*plan.models(), *plan.unlearning(), *plan.evaluating(), *plan.survival()]
    return jobs


@dataclass(frozen=True)
class _Plan:
    """The jobs of one corpus."""

    config: Json
    corpus: str
    shape: ModelShape
    texts: Mapping[str, Texts]

    def job(self, kind: str, stage: str, here: int, beside: int = 0) -> Job:
        """A job without its work; its host has `here` on a CPU, or all weights `beside` a GPU."""
        weights = self.shape.parameters
        on_gpu = self.config["resources"][kind]["gpu"]
        host = CUDA_PROCESS + 4 * weights + beside if on_gpu else PROCESS + here
        return Job(kind, stage, weights, host)

    def models(self) -> Iterator[Job]:
        """Fetching or training base, target and retrain."""
        seeds = len(self.config["seeds"]) if self.config["seed_scope"] == "all" else 1
        weights = self.shape.parameters
        for name, source in used(self.config, self.corpus).items():
            if source.kind == "made":
                training = Training(self.shape, self.config["train"][name])
                job = self.training("train", f"train {name}", training, TRAINED_ON[name])
                yield replace(job, disk=2 * weights, count=seeds)
            elif source.kind != "folder":
                size = (2 if source.kind == "hub" else 4) * weights
                yield replace(self.job("data", "download", size), disk=size)

    def training(self, kind: str, stage: str, training: Training, splits: Sequence[str]) -> Job:
        """A training on raw texts to the end of its epochs; two checkpoints are its scratch."""
        settings, shape = training.settings, self.shape
        rows, tokens = training_rows([self.texts.get(f"raw/{name}") for name in splits], settings)
        length = tokens / max(1, rows)
        updates = max(1, round(settings["epochs"] * rows / settings["batch_size"]))
        seen = len(training.losses) * updates * settings["batch_size"] * length
        passes = (2 if training.lora else 3) + settings["gradient_checkpointing"]
        flops = passes * shape.forward_flops(seen, length)
        flops += 6 * training.trained * seen if training.lora else 0
        weights = training.weight_bytes * training.trained
        scratch = 2 * (weights + training.moments)
        if kind == "unlearn":  # looks at the forget rows, and a reference's
            looks = ceil(updates / settings["log_every"]) + 1
            flops += shape.forward_flops(looks * tokens, length)
        if "kl" in training.losses:  # the reference: states of all retain rows, on the disk
            count, mean = self.texts["raw/retain1"]
            flops += shape.forward_flops(count * mean, length, scored=0)
            scratch += int(training.compute_bytes * shape.hidden * count * mean)
        job = self.job(kind, stage, replace(training, cpu=True).update_bytes())
        host, gpu = training.processes * job.host, CUDA_CONTEXT + training.update_bytes()
        return replace(job, host=host, gpu=gpu, flops=flops, disk=weights, scratch=scratch)

    def unlearn(self, stage: str, objective: str, adapter: str, settings: Json) -> Job:
        """An unlearning run, which the stop rule may end earlier."""
        training = Training(self.shape, settings, adapter, Objective.parse(objective).kinds)
        job = self.training("unlearn", f"{stage} {adapter}", training, ["forget"])
        return replace(job, stays=training.lora or self.config["keep_models"])

    def unlearning(self) -> Iterator[Job]:
        """The runs, with `full_matched` as often as it is tried; or grids, and their questions."""
        swept, trained = configuration.swept_cells(self.config), self.config["unlearn"]["adapters"]
        for run in variants(self.config):
            cell = run.cell.removesuffix("_matched")
            if run.corpus != self.corpus or cell in swept:
                continue
            if run.adapter in (*trained, "full_matched"):
                settings, adapter = unlearn_settings(self.config, cell), cell.rpartition("/")[2]
                job = self.unlearn("unlearn", run.objective, adapter, settings)
                count = 1 if run.adapter in trained else NORM_RUNS
                yield replace(job, disk=job.disk // count, count=count)
        for run, point in configuration.training_runs(self.config):
            if run.corpus == self.corpus:
                count, asked = len(point.snapshots), self.evaluation("bf16", "knowmem")
                job = self.unlearn("sweep", run.objective, run.adapter, point.settings)
                yield replace(job, disk=count * job.disk)
                flops, traffic = count * asked.flops, count * asked.traffic
                yield replace(asked, stage="evaluate candidates", flops=flops, traffic=traffic)

    def evaluation(self, precision: str, *parts: str) -> Job:
        """An evaluation: weights, and a batch's logits, cache and states (evaluate/batching.py).

        Each generated token takes reading all weights, keys and values (Pope et al. 2022, 2.1). On
        a GPU numbers have 16 bits, on a CPU 32.
        """
        shape, settings = self.shape, self.config["evaluate"]
        method = method_of(precision)
        weights = 2 * shape.parameters - (shape.matrices if method.live else 0)
        rows = least = settings["batch_size"]
        if rows == "auto":
            rows, least = (INT8_ROWS, INT8_ROWS) if method.live else (AUTO_ROWS, 1)
        length = min(settings["max_tokens"], shape.context)
        cached = 2 * shape.layers * shape.kv_heads * shape.head_dim

        def batch(size: int) -> int:
            """Bytes of the smallest one, where numbers have `size`."""
            logits = min(MOST_LOGITS, least * length * (size + 4) * shape.vocabulary)
            state = 4 * (shape.hidden + shape.mlp)
            return int(logits + least * length * size * (state + cached))

        flops = traffic = 0.0
        for name, (count, mean) in self.texts.items():
            part = name.partition("/")[0]
            if part in parts and not name.endswith("_icl"):
                new = settings.get(f"{part}_tokens", 0)
                flops += shape.forward_flops(count * (min(mean, length) + new), length)
                traffic += new * (ceil(count / rows) * weights + count * length * 2 * cached)
        here = 4 * shape.parameters + batch(4)
        job = self.job("evaluate", f"evaluate {precision}", here)
        gpu = CUDA_CONTEXT + weights + batch(2)
        return replace(job, gpu=gpu, flops=flops, traffic=traffic)

    def evaluating(self) -> Iterator[Job]:
        """Quantizing and evaluating every model in each of its precisions."""
        split = [cell.split("/") for cell in configuration.cells(self.config)]
        mine = [precision for corpus, *_, precision in split if corpus == self.corpus]
        for precision, count in Counter(mine).items():
            yield replace(self.quantization(precision), count=count)
            parts = "verbmem", "knowmem", "privleak"
            yield replace(self.evaluation(precision, *parts), count=count)

    def quantization(self, precision: str) -> Job:
        """A checkpoint in a precision, as it is made.

        GPTQ (Frantar et al. 2023) has a layer at a time twice, the Hessian of its widest inputs
        and two factors of it, and the texts' states before and after, in fp32. A matrix takes 2
        tokens in^2 for the Hessian, 2 in^3 to factor it and out in^2 to round, beside two passes of
        the texts. Other methods take 4 to 7 bytes of the host's a weight: measured.
        """
        shape, weights = self.shape, self.shape.parameters
        parsed, stays = Precision.parse(precision), self.config["keep_models"]
        method = method_of(parsed)
        rest = (2 if precision == "bf16" else 4) * (weights - shape.matrices)
        disk = int(shape.matrices * method.stored_bits(parsed) / 8) + rest
        if not method.calibrated:
            job = self.job("quantize", f"quantize {precision}", 8 * weights, 4 * weights)
            seconds = self.spread("quantize", weights / method.speed)
            return replace(job, seconds=seconds, disk=disk, stays=stays)
        sample, matrices = self.config["quantization"]["calibration"], shape.linear_shapes()
        tokens, widest = sample["sequences"] * sample["length"], max(shape.mlp, shape.queries)
        working = 4 * (2 * shape.layer_matrices + 3 * widest**2 + 2 * tokens * shape.hidden)
        rounding = sum(2 * tokens * i**2 + 2 * i**3 + o * i**2 for i, o in matrices.values())
        passes = 2 * shape.forward_flops(tokens, sample["length"], scored=0)
        job = self.job("gptq", f"quantize {precision}", 4 * weights + disk + working, disk)
        job = replace(job, gpu=CUDA_CONTEXT + working, scratch=4 * weights + disk)
        return replace(job, fp32_flops=shape.layers * rounding + passes, disk=disk, stays=stays)

    def survival(self) -> Iterator[Job]:
        """Comparing updates with the grids, a matrix at a time; and scaling adapters, whole."""
        shape = self.shape
        largest = max(inputs * outputs for inputs, outputs in shape.linear_shapes().values())
        job = self.job("survival", "survival", max(5 * 4 * largest, shape.parameters // 3))
        for run in variants(self.config):
            if run.corpus == self.corpus and not run.adapter.startswith(controls.SPARE):
                grids = len(controls.precisions(self.config, run.adapter)) - 1  # bf16 is none
                seconds = self.spread("survival", grids * shape.matrices / COMPARED)
                yield replace(job, seconds=seconds)

    def spread(self, kind: str, seconds: float) -> float:
        """Of one thread, over the threads that a kind of job has."""
        threads: int = self.config["resources"][kind]["threads"]
        return seconds * (SERIAL + (1 - SERIAL) / threads)


def disk(jobs: Sequence[Job]) -> tuple[int, int]:
    """Bytes that stay; and that come and go with one job at a time: the largest output of each kind
    until it was read, and the largest scratch."""
    passing: dict[str, int] = defaultdict(int)
    for job in jobs:
        passing[job.kind] = max(passing[job.kind], 0 if job.stays else job.disk)
    stay = sum(job.count * job.disk for job in jobs if job.stays)
    return stay, sum(passing.values()) + max((job.scratch for job in jobs), default=0)


def needs(config: Json, jobs: Sequence[Job]) -> dict[str, dict[str, int]]:
    """Kind of job -> `threads`, `gpu`, and the `mem_mb` and minutes (`runtime`) of a first attempt.

    A number in `resources` wins; `auto` is what the largest and longest of `jobs` take, and more.
    """
    found = {}
    for kind, own in config["resources"].items():
        mine = [job for job in jobs if job.kind == kind]
        memory = max((job.host for job in mine), default=PROCESS)
        minutes = max((_seconds(job, own) for job in mine), default=0.0) / 60
        fewest = TABLE_MINUTES if kind == "tables" else FEWEST_MINUTES
        auto = {
            "mem_mb": 100 * ceil((MEMORY_MARGIN * memory + BESIDES) / 1e8),
            "runtime": 5 * ceil(max(fewest, RUNTIME_MARGIN * minutes) / 5),
        }
        found[kind] = own | {name: auto[name] for name in auto if own[name] == "auto"}
    return found


def _seconds(job: Job, own: Json) -> float:
    """On the slowest GPU that has room, or on the job's cores; and to move its weights."""
    moved = 8 * job.weights / DISK_BANDWIDTH + job.weights / method_of("nf4").speed
    if own["gpu"]:
        cards = [card for card in CARDS if job.gpu <= card.memory] or CARDS
        return moved + 3600 * max(card.hours(job) for card in cards)
    computing = (job.flops + job.fp32_flops) / (CORE_FLOPS * own["threads"])
    reading = 2 * job.traffic / CORE_BANDWIDTH  # numbers of 32 bits
    return float(moved + computing + reading + job.seconds)
