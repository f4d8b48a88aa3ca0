"""Unlearn: train the target to forget, by one objective, one variant of the update, one seed.

Args:
    target: checkpoint trained on the text to be forgotten.
    corpus: folder in MUSE's layout.
    objective: forget term and retain term, e.g. npo_gdr.
    adapter: what is trained: all weights with fp32 masters (full), all weights kept in bf16,
        rounded to the nearest (full_bf16) or stochastically (full_sr), or low-rank adapters (lora).
    output: folder for the checkpoint (full) or the PEFT adapter (lora).
    checkpoints: folder that a killed run resumes from; emptied at the end.
    settings: of the training.
    record: folder for what is always kept: the log, manifest and adapter.
    seed: decides the order of the rows and the initial adapter.
    snapshots: epoch counts; the output then holds a folder for each (`epoch5`), the same as a
        run of that many epochs would write, and the run ends with the last of them.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script
from qunlearn.settings.unlearning import Adapter, UnlearnSettings


@run_script
def main(
    target: Path,
    corpus: Path,
    objective: str,
    adapter: Adapter,
    output: Path,
    checkpoints: Path,
    settings: UnlearnSettings,
    record: Path | None = None,
    seed: int = 0,
    snapshots: tuple[float, ...] = (),
) -> None:
    given = {name: value for name, value in locals().items() if name != "record"}
    used = {"peft"} if adapter == "lora" else set()
    used |= {"bitsandbytes"} if settings.optimizer == "adamw_8bit" else set()
    hide_unused(*used)
    from qunlearn.run.files import keep_record
    from qunlearn.training.unlearn_run import unlearn_and_keep

    unlearn_and_keep(**given)
    if record is not None:
        keep_record(output, record)
