"""Scale a trained LoRA update: by a factor, or to the norm of another update of its target.

Args:
    adapter: folder of the trained adapter.
    size: scaled<factor>, e.g. scaled0.5; or matched, to the norm of `like`.
    target: the checkpoint that both updates start from.
    like: the unlearned model whose update has the wanted norm, over the quantized matrices.
    output: folder for the scaled adapter; of a diverged run it says so and holds no weights.
"""

from pathlib import Path

from qunlearn.models.checkpoints import is_diverged
from qunlearn.run.cli import run_script
from qunlearn.run.imports import OPTIONAL, hide
from qunlearn.run.manifest import Stopwatch


@run_script
def main(adapter: Path, size: str, target: Path, like: Path, output: Path) -> None:
    stopwatch = Stopwatch()
    hide(*OPTIONAL)
    from qunlearn.models.updates import update_norm
    from qunlearn.training.scale import keep_scaled

    if size != "matched":
        keep_scaled(adapter, float(size.removeprefix("scaled")), output, {}, stopwatch)
        return
    factor = None
    if not is_diverged(adapter) and not is_diverged(like):
        factor = update_norm(target, like) / update_norm(target, adapter)
    keep_scaled(adapter, factor, output, {"target": target, "like": like}, stopwatch)
