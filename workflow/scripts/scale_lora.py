"""Scale a trained LoRA update: by a factor, or to the norm of another update of its target."""

from pathlib import Path

from qunlearn.models.checkpoints import is_diverged
from qunlearn.run.cli import run_script
from qunlearn.run.imports import OPTIONAL, hide
from qunlearn.run.manifest import Stopwatch


def main(
    adapter: Path,
    output: Path,
    factor: float | None = None,
    target: Path | None = None,
    like: Path | None = None,
) -> None:
    """Scale a trained LoRA update.

    Args:
        adapter: folder of the trained adapter.
        output: folder for the scaled adapter; of a diverged run it says so and holds no weights.
        factor: what the update is multiplied by; without one, the norm of `like` decides.
        target: the checkpoint that both updates start from.
        like: the unlearned model whose update has the wanted norm, over the quantized matrices.
    """
    stopwatch = Stopwatch()
    hide(*OPTIONAL)
    from qunlearn.models.updates import update_norm
    from qunlearn.training.scale import keep_scaled

    inputs = {}
    if target is not None and like is not None:
        inputs = {"target": target, "like": like}
        if not is_diverged(adapter) and not is_diverged(like):
            factor = update_norm(target, like) / update_norm(target, adapter)
    keep_scaled(adapter, factor, output, inputs, stopwatch)


if __name__ == "__main__":
    run_script(main)
