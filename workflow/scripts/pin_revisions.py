"""Write down the commits that the hub's datasets and models of an experiment are at."""

from pathlib import Path

from qunlearn.cli import run_script


def main(configfile: tuple[Path, ...], output: Path) -> None:
    """Write down the commits that the hub's datasets and models of an experiment are at.

    What is pinned already stays as it is. Run the experiment with the file that is written:
    snakemake --configfile config/paper.yaml revisions.yaml

    Args:
        configfile: the experiment's configuration; of several, later ones win.
        output: YAML file to write, with the key `revisions` alone.
    """
    from datetime import date

    from qunlearn import configfiles, revisions
    from qunlearn.files import write_text

    config = configfiles.read(configfile)
    pinned = revisions.pin(config)
    write_text(output, revisions.as_yaml(pinned, configfile, date.today().isoformat()))
    for repo_id, commit in pinned.items():
        known = config["revisions"].get(repo_id) == commit
        print(f"{repo_id}: {commit}{' (as before)' if known else ''}")


if __name__ == "__main__":
    run_script(main)
