"""Scale a trained LoRA update: by a factor, or to the norm of another update of its target.

Args:
    adapter: folder of the trained adapter.
    size: scaled<factor>, e.g. scaled0.5; or matched, to the norm of `like`.
    target: the checkpoint that both updates start from.
    like: the unlearned model whose update has the norm to match, over the quantized matrices.
    output: folder for the scaled adapter; for a diverged run it says so and holds no weights.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script


@run_script
def main(adapter: Path, size: str, target: Path, like: Path, output: Path) -> None:
    given = locals()
    hide_unused()
    from qunlearn.training.match import scale_lora

    scale_lora(**given)
