"""What a step of an experiment takes."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepPlan:
    """A step: jobs that are alike, each of which takes the same.

    Attributes:
        step: its name, e.g. `unlearn news/npo_gdr/lora`.
        jobs: how many there are.
        parameters: weights of the model that a job works on.
        trained: those of them that it trains; 0 where it trains nothing.
        gpu_bytes: largest memory of the GPU at once, of one job; 0: it needs no GPU.
        host_bytes: largest memory of the machine at once, of one job.
        disk_bytes: what all jobs together leave on the disk for good.
        held_bytes: what all jobs together leave besides, until most of the experiment is done.
        passing_bytes: what one job leaves until it was read; its readers run before the next such
            job, where one job runs at a time.
        scratch_bytes: what one job has on the disk besides while it runs.
        flops: floating-point operations of one job that are multiplied in bf16.
        fp32_flops: those that are multiplied in fp32.
        traffic_bytes: bytes that one job must read from the GPU's memory where that, and not
            arithmetic, bounds its time: generation, token by token.
        host_seconds: seconds that one job works on the processor.
    """

    step: str
    jobs: int
    parameters: int
    trained: int
    gpu_bytes: int
    host_bytes: int
    disk_bytes: int
    scratch_bytes: int = 0
    held_bytes: int = 0
    passing_bytes: int = 0
    flops: float = 0.0
    fp32_flops: float = 0.0
    traffic_bytes: float = 0.0
    host_seconds: float = 0.0
