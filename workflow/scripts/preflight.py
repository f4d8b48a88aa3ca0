"""Look at models, settings, disk and memory, as the workflow does before its first job."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(configfile: tuple[Path, ...] = (), output: Path = Path("preflight.json")) -> None:
    """Complain in one line about what would make a job fail here, else write the warnings.

    Args:
        configfile: the experiment's configuration; of several, later ones win.
        output: JSON file to write.
    """
    from qunlearn.experiment import configfiles
    from qunlearn.experiment.inputs import check_given
    from qunlearn.preflight import keep, preflight

    config = configfiles.read(configfile)
    check_given(config)
    results = Path("results") / config["experiment"]
    warnings, _ = preflight(config, results, cluster=False, python=config["python"])
    keep(warnings, output)


if __name__ == "__main__":
    run_script(main)
