"""Say what an experiment will take: memory, disk, arithmetic and hours, a step each."""

from pathlib import Path

from qunlearn.cli import run_script


def main(configfile: tuple[Path, ...] = ()) -> None:
    """Print what an experiment will take, before anything of it is run.

    The formulas are in src/qunlearn/planning/. A step that is too large for a GPU is told, and is
    no error here; preflight refuses it on the machine that it would fail on.

    Args:
        configfile: the experiment's configuration; of several, later ones win.
    """
    from qunlearn import configfiles
    from qunlearn.planning import estimate
    from qunlearn.planning.known import known_shapes
    from qunlearn.planning.table import table

    config = configfiles.read(configfile)
    print(table(estimate(config, known_shapes(config))))


if __name__ == "__main__":
    run_script(main)
