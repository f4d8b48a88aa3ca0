"""Take the chosen candidate's folder for the model of its cell."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(selection: Path, trainings: Path, output: Path) -> None:
    """Make a folder like the chosen candidate's, of links to its files where the disk allows it.

    Args:
        selection: JSON file of select_candidate.py.
        trainings: folder of one seed's trainings: <point>/epoch<e>/.
        output: the unlearned model; a previous one is replaced.
    """
    from qunlearn.analysis.selection.choice import link_folder, read
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import verify

    chosen = trainings / read(selection).chosen
    verify(chosen)
    with new_folder(output) as folder:
        link_folder(chosen, folder)


if __name__ == "__main__":
    run_script(main)
