"""The plan of a whole experiment: its steps, put together."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from qunlearn import controls
from qunlearn.config import Json, cells, runs, unlearn_settings, variants
from qunlearn.planning import disk, flops, host
from qunlearn.planning.asking import Asking, asking
from qunlearn.planning.memory import CUDA_CONTEXT, training_peak
from qunlearn.planning.shapes import ModelShape
from qunlearn.planning.sizes import BYTES_PER_TOKEN, Sizes, sizes
from qunlearn.planning.steps import StepPlan
from qunlearn.planning.training import Training
from qunlearn.quantize.method import Precision
from qunlearn.sources import used
from qunlearn.sweep import swept_cells, training_runs

SPLITS = {
    "base": ("raw/pretrain",),
    "target": ("raw/forget", "raw/retain1", "raw/retain2"),
    "retrain": ("raw/retain1", "raw/retain2"),
}


def estimate(config: Json, shapes: Mapping[str, ModelShape]) -> list[StepPlan]:
    """Every step of an experiment in the order in which it is run; tables and figures are nothing.

    Jobs that take the same are one step. GPU memory is what a job takes where there is a GPU,
    whether or not the configuration asks for one; the host's is what it takes as configured.

    Args:
        config: full, as `config.resolve` gives it.
        shapes: corpus -> shape of its models (base, target and retrain are alike).
    """
    steps: list[StepPlan] = []
    for corpus in config["corpora"]:
        planner = _Planner(config, corpus, shapes[corpus], sizes(config, corpus))
        steps += planner.fetching()
        steps += planner.training()
        steps += planner.unlearning()
        steps += planner.sweeping()
        steps += planner.controlling()
        steps += planner.asking()
        steps += planner.survival()
    order = {name: place for place, name in enumerate(dict.fromkeys(map(_kind, steps)))}
    return sorted(_together(steps), key=lambda step: order[_kind(step)])


def _kind(step: StepPlan) -> str:
    return step.step.split()[0]


def _together(steps: list[StepPlan]) -> list[StepPlan]:
    """One step for jobs that take the same; its name has the names of all, word by word."""
    groups: dict[StepPlan, list[StepPlan]] = {}
    for step in steps:
        each = step.disk_bytes // step.jobs
        alike = replace(step, step=_kind(step), jobs=0, disk_bytes=each, held_bytes=0)
        groups.setdefault(alike, []).append(step)
    merged = []
    for members in groups.values():
        words = zip(*(member.step.split() for member in members), strict=True)
        merged.append(
            replace(
                members[0],
                step=" ".join(",".join(dict.fromkeys(column)) for column in words),
                jobs=sum(member.jobs for member in members),
                disk_bytes=sum(member.disk_bytes for member in members),
                held_bytes=sum(member.held_bytes for member in members),
            )
        )
    return merged


class _Planner:
    """The steps of one corpus."""

    def __init__(self, config: Json, corpus: str, shape: ModelShape, texts: Sizes) -> None:
        self._config, self._corpus, self._shape, self._texts = config, corpus, shape, texts
        self._seeds, self._keep = len(config["seeds"]), config["keep"]
        self._targets = self._seeds if config["seed_scope"] == "all" else 1

    def fetching(self) -> Iterator[StepPlan]:
        """The corpus, and checkpoints from the hub or a GGUF file."""
        size = disk.corpus_bytes(self._texts, BYTES_PER_TOKEN)
        yield StepPlan(f"corpus {self._corpus}", 1, 0, 0, 0, host.PROCESS, size)
        for name, source in used(self._config, self._corpus).items():
            if source.kind in ("hub", "gguf"):
                width = 2 if source.kind == "hub" else 4
                yield StepPlan(
                    f"download {self._corpus} {name}",
                    jobs=1,
                    parameters=self._shape.parameters,
                    trained=0,
                    gpu_bytes=0,
                    host_bytes=host.PROCESS + width * self._shape.parameters,
                    **disk.left(self._keep, "model", width * self._shape.parameters, late=True),
                )

    def training(self) -> Iterator[StepPlan]:
        """Base, target and retrain, where they are made."""
        jobs = self._targets
        for name, source in used(self._config, self._corpus).items():
            if source.kind != "made":
                continue
            settings = self._config["train"][name]
            lists = [self._texts[split] for split in SPLITS[name] if split in self._texts]
            how = settings["max_tokens"], settings["chunking"]
            rows = sum(texts.rows(*how) for texts in lists)
            longest = max((texts.longest_row(*how) for texts in lists), default=how[0])
            training = Training.of_finetuning(self._shape, settings, longest, "cuda")
            yield replace(
                self._step("train", training, disk.resume_bytes(training)),
                step=f"train {self._corpus} {name}",
                jobs=jobs,
                flops=flops.finetuning(training, settings, rows),
                **disk.left(self._keep, "model", 2 * self._shape.parameters, jobs, late=True),
            )

    def unlearning(self) -> Iterator[StepPlan]:
        """The runs whose settings are given."""
        swept = swept_cells(self._config)
        for run in runs(self._config):
            if run.corpus == self._corpus and _cell(run) not in swept:
                settings = unlearn_settings(self._config, run.corpus, run.objective, run.adapter)
                yield self._unlearn(run.objective, run.adapter, settings, "unlearn")

    def sweeping(self) -> Iterator[StepPlan]:
        """The trainings of grids, and the questions put to their candidates."""
        asked = self._asked("bf16", questions_only=True)
        for run in training_runs(self._config):
            if run.corpus != self._corpus:
                continue
            step = self._unlearn(run.objective, run.adapter, run.settings, "sweep")
            count = len(run.snapshots)
            size = count * sum((step.disk_bytes, step.held_bytes, step.passing_bytes))
            what = "adapter" if run.adapter == "lora" else "whole"
            yield replace(step, passing_bytes=0, **disk.left(self._keep, what, size, late=True))
            yield replace(
                self._of_asking(asked, count),
                step=f"ask {self._corpus} candidates",
                host_bytes=host.quantize_host(self._shape),
            )

    def controlling(self) -> Iterator[StepPlan]:
        """`full_matched`, the control that is trained: as often as its search may."""
        if not self._config["controls"]:
            return
        tries = self._config["control_settings"]["search_runs"]
        for objective in self._config["unlearn"]["objectives"]:
            settings = unlearn_settings(self._config, self._corpus, objective, "full")
            step = self._unlearn(objective, "full", settings, "match")
            yield replace(
                step,
                jobs=self._seeds,
                disk_bytes=step.disk_bytes * self._seeds,
                held_bytes=step.held_bytes * self._seeds,
                flops=step.flops * tries,
            )

    def asking(self) -> Iterator[StepPlan]:
        """Quantizing and evaluating, in each precision."""
        mine = [cell for cell in cells(self._config) if cell.startswith(f"{self._corpus}/")]
        names = [cell.rpartition("/")[2] for cell in mine]
        kept = self._keep == "all"
        for name in dict.fromkeys(names):
            jobs = names.count(name)
            method = Precision.parse(name).method
            if method == "gptq":
                step = self._gptq(name, jobs)
                # Target's waits for every model that is measured against it.
                waiting = 0 if kept else step.passing_bytes * self._targets
                yield replace(step, held_bytes=waiting)
            elif kept:
                yield self._quantize(name, jobs)
            in_memory = not kept and method != "gptq"
            yield replace(
                self._of_asking(self._asked(name), 1),
                step=f"evaluate {self._corpus} {name}",
                jobs=jobs,
                host_bytes=self._evaluate_host(name, in_memory),
            )

    def survival(self) -> Iterator[StepPlan]:
        """What grids leave of each update."""
        measured = [
            run
            for run in variants(self._config)
            if run.corpus == self._corpus and not run.adapter.startswith(controls.SPARE)
        ]
        for run in measured:
            grids = [
                name for name in controls.precisions(self._config, run.adapter) if name != "bf16"
            ]
            weights = self._shape.matrices
            yield StepPlan(
                f"survival {self._corpus}",
                jobs=1,
                parameters=self._shape.parameters,
                trained=0,
                gpu_bytes=0,
                host_bytes=host.survival_host(self._shape, grids),
                disk_bytes=0,
                host_seconds=weights * len(grids) / host.MEASURED_A_SECOND,
            )

    def _unlearn(self, objective: str, adapter: str, settings: Json, word: str) -> StepPlan:
        forget, retain = self._texts["raw/forget"], self._texts["raw/retain1"]
        how = settings["max_tokens"], settings["chunking"]
        longest = max(texts.longest_row(*how) for texts in (forget, retain))
        training = Training.of_unlearning(
            self._shape, objective, adapter, settings, longest, "cuda"
        )
        rows = forget.rows(*how), retain.rows(*how)
        scratch = disk.resume_bytes(training) + disk.reference_bytes(training, rows[1])
        what = adapter
        if adapter == "lora":
            what = f"lora-r{settings['rank']}"
            what += "" if settings["targets"] == "all" else f"-{settings['targets']}"
        return replace(
            self._step("unlearn", training, scratch),
            step=f"{word} {self._corpus} {objective} {what}",
            **disk.left(
                self._keep,
                "adapter" if adapter == "lora" else "whole",
                disk.trained_bytes(training),
                late=self._config["controls"],  # they wait for each other
            ),
            flops=flops.unlearning(training, objective, settings, *rows),
        )

    def _step(self, kind: str, training: Training, scratch: int) -> StepPlan:
        """A training, without its name and time."""
        on_gpu = self._config["resources"][kind]["gpu"] > 0
        here = replace(training, device="cuda" if on_gpu else "cpu")
        return StepPlan(
            "",
            jobs=1,
            parameters=self._shape.parameters,
            trained=training.trained,
            gpu_bytes=CUDA_CONTEXT + training_peak(training).total,
            host_bytes=host.training_host(here, on_gpu=on_gpu),
            disk_bytes=0,
            scratch_bytes=scratch,
        )

    def _asked(self, precision: str, *, questions_only: bool = False) -> Asking:
        return asking(
            self._shape,
            precision,
            self._texts,
            self._config["evaluate"],
            questions_only=questions_only,
        )

    def _of_asking(self, asked: Asking, count: int) -> StepPlan:
        return StepPlan(
            "",
            jobs=1,
            parameters=self._shape.parameters,
            trained=0,
            gpu_bytes=CUDA_CONTEXT + asked.gpu_bytes,
            host_bytes=0,
            disk_bytes=0,
            flops=count * asked.flops,
            fp32_flops=count * asked.fp32_flops,
            traffic_bytes=count * asked.traffic_bytes,
        )

    def _evaluate_host(self, name: str, in_memory: bool) -> int:
        """The model as it is read, or in fp32 and once more as it is asked; all of it on a CPU."""
        on_gpu = self._config["resources"]["evaluate"]["gpu"] > 0
        dense = 4 * self._shape.parameters
        if on_gpu:
            return host.CUDA_PROCESS + (2 * dense if in_memory else dense)
        asked = self._asked("rtn8" if name == "bf16" else name).gpu_bytes
        return host.PROCESS + asked + (dense if in_memory else 0)

    def _quantize(self, name: str, jobs: int) -> StepPlan:
        return StepPlan(
            f"quantize {self._corpus} {name}",
            jobs=jobs,
            parameters=self._shape.parameters,
            trained=0,
            gpu_bytes=0,
            host_bytes=host.quantize_host(self._shape),
            disk_bytes=jobs * disk.quantized_bytes(self._shape, name),
            host_seconds=self._shape.parameters / host.ROUNDED_A_SECOND,
        )

    def _gptq(self, name: str, jobs: int) -> StepPlan:
        sample = self._config["quantization"]["calibration"]
        size = sample["sequences"], sample["length"]
        packed = disk.quantized_bytes(self._shape, name)
        working = host.gptq_bytes(self._shape, *size)
        on_gpu = self._config["resources"]["gptq"]["gpu"] > 0
        dense = 4 * self._shape.parameters
        return StepPlan(
            f"gptq {self._corpus} {name}",
            jobs=jobs,
            parameters=self._shape.parameters,
            trained=0,
            gpu_bytes=CUDA_CONTEXT + working,
            host_bytes=dense + packed + (host.CUDA_PROCESS if on_gpu else host.PROCESS + working),
            scratch_bytes=dense + packed,
            fp32_flops=flops.gptq(self._shape, *size),
            **disk.left(self._keep, "quantized", packed, jobs),
        )


def _cell(run: Any) -> str:
    return f"{run.corpus}/{run.objective}/{run.adapter}"
