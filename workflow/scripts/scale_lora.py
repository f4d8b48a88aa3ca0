"""Multiply a trained LoRA update by a factor."""

from pathlib import Path

from qunlearn.run.cli import run_script
from qunlearn.run.imports import OPTIONAL, hide
from qunlearn.run.manifest import Stopwatch


def main(adapter: Path, factor: float, output: Path) -> None:
    """Multiply a trained LoRA update by a factor.

    Args:
        adapter: folder of the trained adapter.
        factor: what the update is multiplied by.
        output: folder for the scaled adapter; of a diverged run it tells so and holds no weights.
    """
    stopwatch = Stopwatch()
    hide(*OPTIONAL)
    from qunlearn.training.scale import keep_scaled

    keep_scaled(adapter, factor, output, {}, stopwatch)


if __name__ == "__main__":
    run_script(main)
