"""Look at models, settings, disk and memory, as the workflow does before its first job."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(configfile: tuple[Path, ...] = (), output: Path = Path("preflight.json")) -> None:
    """Complain in one line about what would make a job fail on this machine, else write the checks.

    Args:
        configfile: the experiment's configuration; of several, later ones win.
        output: JSON file to write.
    """
    from qunlearn.admission import check_given
    from qunlearn.experiment import configfiles
    from qunlearn.preflight import keep, preflight
    from qunlearn.run import interpreter

    config = configfiles.read(configfile)
    check_given(config, configfile)
    if config["python"]:
        interpreter.check(config["python"])
    results = Path("results") / config["experiment"]
    checks, _ = preflight(config, results, cluster=False)
    keep(checks, output)


if __name__ == "__main__":
    run_script(main)
