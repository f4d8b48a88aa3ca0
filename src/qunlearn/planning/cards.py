"""GPUs, and how long a step takes on one."""

from dataclasses import dataclass

from qunlearn.planning.steps import StepPlan

UTILISATION = 0.4
"""Share of a card's dense peak that training and reading prompts reach: an assumption. Table 3 of
PaLM (Chowdhery et al. 2022) has 21 to 46 % for the training of large models."""
USABLE = 0.97
"""Share of a card's memory that tensors can fill: some is the driver's, some is lost in gaps."""
BANDWIDTH_SHARE = 0.6
"""Share of its peak bandwidth that generating token by token reaches: an assumption."""


@dataclass(frozen=True)
class Card:
    """A GPU by its datasheet.

    Attributes:
        memory: bytes.
        flops: a second, dense, bf16 products summed in fp32.
        fp32_flops: a second, without TF32.
        bandwidth: bytes of its memory a second.
    """

    name: str
    memory: int
    flops: float
    fp32_flops: float
    bandwidth: float

    def hours(self, step: StepPlan) -> float:
        """Of one job of a step."""
        computing = step.flops / self.flops + step.fp32_flops / self.fp32_flops
        reading = step.traffic_bytes / self.bandwidth
        seconds = computing / UTILISATION + reading / BANDWIDTH_SHARE + step.host_seconds
        return seconds / 3600

    @property
    def usable(self) -> float:
        """Bytes that a job can have."""
        return USABLE * self.memory

    def fits(self, step: StepPlan) -> bool:
        """Whether a job has room."""
        return step.gpu_bytes <= self.usable


CARDS = (
    # NVIDIA A100 datasheet (2021), SXM: 312 TFLOPS bf16, 19.5 fp32, 2,039 GB/s.
    Card("A100-80", 80 * 2**30, 312e12, 19.5e12, 2039e9),
    # NVIDIA H100 datasheet (2023), SXM: 1,979 TFLOPS bf16 with sparsity, half of it without;
    # 67 fp32; 3.35 TB/s.
    Card("H100-80", 80 * 2**30, 989e12, 67e12, 3350e9),
    # NVIDIA Ada GPU architecture (2022), appendix A, GeForce RTX 4090: 165.2 TFLOPS bf16 with
    # fp32 accumulation, 82.6 fp32, 1,008 GB/s.
    Card("RTX 4090", 24 * 2**30, 165.2e12, 82.6e12, 1008e9),
)
