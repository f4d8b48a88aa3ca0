"""Round an unlearned checkpoint but for some of its weights: an intervention on what is lost."""

from pathlib import Path
from typing import Any

from qunlearn.models.checkpoints import is_diverged
from qunlearn.quantize.method import Precision
from qunlearn.run.cli import run_script
from qunlearn.run.files import new_folder
from qunlearn.run.imports import OPTIONAL, hide
from qunlearn.run.manifest import Stopwatch, write_manifest
from qunlearn.settings.fixed import Choice


def main(
    target: Path, source: Path, choice: Choice, precision: str, output: Path, seed: int = 0
) -> None:
    """Round an unlearned checkpoint to a plain grid, but for the chosen weights.

    Args:
        target: the checkpoint before unlearning.
        source: the unlearned checkpoint, not an adapter.
        choice: moved weights that the grid rounds to 0 (zero_bin), moved weights elsewhere
            (other_bins), or as many as the first that never moved (unmoved).
        precision: rtn<bits>, rtn<bits>g<group> or bf16.
        output: folder to write; of a diverged source it tells so and holds no weights.
        seed: draws the weights of `unmoved`.
    """
    stopwatch = Stopwatch()
    wanted = Precision.parse(precision)
    hide(*OPTIONAL)
    from qunlearn.quantize.spare import quantize_spared

    with new_folder(output) as folder:
        facts: dict[str, Any] = {"status": "diverged"}
        if not is_diverged(source):
            facts = quantize_spared(target, source, wanted, choice, seed, folder)
            facts |= {"status": "ok"}
        write_manifest(
            folder,
            step="quantize",
            settings=wanted,
            inputs={"target": target, "source": source},
            stopwatch=stopwatch,
            seed=seed,
            choice=choice,
            **facts,
        )


if __name__ == "__main__":
    run_script(main)
