"""Write the current commits of the hub's datasets and models that an experiment uses.

Revisions that are pinned already stay; a branch, tag or short hash becomes its commit. Then run
the experiment with the written file:
snakemake --configfile config/paper.yaml revisions.yaml

Args:
    configfile: the experiment's configuration; of several, later ones win.
    output: YAML file to write, with the key `revisions` alone.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(configfile: tuple[Path, ...], output: Path) -> None:
    from datetime import date

    import yaml

    from qunlearn.experiment import configfiles
    from qunlearn.models import hub, sources
    from qunlearn.run.files import write_text

    config = configfiles.read(configfile)
    pinned = {}
    for repo_id, kind in sources.repositories(config).items():
        given = config["revisions"].get(repo_id)
        known = sources.is_commit(given)
        pinned[repo_id] = given if known else hub.present_commit(repo_id, kind, given)
        print(f"{repo_id}: {pinned[repo_id]}{' (as before)' if known else ''}")
    header = f"# Commits of the hub's repositories in {' '.join(map(str, configfile))}, "
    header += f"as of {date.today().isoformat()}; made by pin_revisions.py\n"
    write_text(output, header + yaml.safe_dump({"revisions": pinned}, sort_keys=False))
