"""Split a corpus's questions: some for choosing settings, the rest for the tables.

Args:
    corpus: folder in MUSE's layout.
    share: of the questions that settings are chosen on.
    selection: folder for the corpus that settings are chosen on; a previous one is replaced.
    test: folder for the corpus of the tables, likewise.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(corpus: Path, share: float, selection: Path, test: Path) -> None:
    from qunlearn.analysis.selection.questions import part_of
    from qunlearn.corpora import layout
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import write_manifest

    whole = layout.load(corpus)
    for name, output in {"selection": selection, "test": test}.items():
        part, questions = part_of(whole, name, share)
        with new_folder(output) as folder:
            layout.write(folder, part)
            settings, inputs = {"part": name, "share": share}, {"corpus": corpus}
            write_manifest(folder, "split_questions", settings, inputs, questions=questions)
