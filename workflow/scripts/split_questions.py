"""Part a corpus's questions: those that settings are chosen on, and those of the tables.

Args:
    corpus: folder in MUSE's layout.
    share: of the questions that settings are chosen on.
    seed: decides which these are.
    output: folder for the corpora `selection` and `test`; a previous one is replaced.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(corpus: Path, share: float, seed: int, output: Path) -> None:
    from typing import get_args

    from qunlearn.analysis.selection.questions import Part, part_of
    from qunlearn.corpora import layout
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import Stopwatch, write_manifest

    stopwatch = Stopwatch()
    whole = layout.load(corpus)
    with new_folder(output) as folder:
        for name in get_args(Part):
            part, questions = part_of(whole, name, share, seed)
            (folder / name).mkdir()
            layout.write(folder / name, part)
            write_manifest(
                folder / name,
                step="split_questions",
                settings={"part": name, "share": share},
                inputs={"corpus": corpus},
                stopwatch=stopwatch,
                seed=seed,
                questions=questions,
            )
