"""Fine-tune at the learning rate that brings the update's norm to that of another update.

Args:
    target: checkpoint trained on the text to be forgotten.
    corpus: folder in MUSE's layout.
    objective: forget term and retain term, e.g. npo_gdr.
    start: the unlearned checkpoint (full) whose learning rate the search starts from.
    like: the unlearned model, e.g. a LoRA adapter, whose norm is to be matched.
    output: folder for the checkpoint that matched, with a record of the search.
    checkpoints: folder that a killed search resumes from; emptied at the end.
    settings: of the training, the same as start's.
    seed: decides the order of the rows.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script
from qunlearn.settings.unlearning import UnlearnSettings


@run_script
def main(
    target: Path,
    corpus: Path,
    objective: str,
    start: Path,
    like: Path,
    output: Path,
    checkpoints: Path,
    settings: UnlearnSettings,
    seed: int = 0,
) -> None:
    given = locals()
    hide_unused()
    from qunlearn.training.match import match_norm

    match_norm(**given)
