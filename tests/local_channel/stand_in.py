"""NOT conda: answers the few calls that Snakemake makes of it, by rattler's solver and linker.

The channels of an environment's YAML are folders in $LOCAL_CHANNELS. The pip part goes to the pip
of the new environment, as conda does it. What Snakemake has not been seen to call is refused.
"""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CHANNELS = Path(os.environ["LOCAL_CHANNELS"])
INFO = {"conda_prefix": str(CHANNELS.parent), "platform": "linux-64"}
"""conda_prefix: Snakemake sources bin/activate in it."""


def main(arguments: list[str]) -> None:
    """Answer one call."""
    match arguments:
        case ["--version"]:
            print("conda 24.7.1")  # the oldest that Snakemake takes
        case ["info", "--json"]:
            print(json.dumps(INFO))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", "-y", "--tarballs"]:
            pass  # what is linked stays in the package cache of this one test
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", to]:
            create(Path(file), Path(to))
        case _:
            sys.exit(f"error: this is not conda and does not know: {arguments}")


def create(file: Path, prefix: Path) -> None:
    """Solve, link, and hand the pip part to pip."""
    import yaml

    environment = yaml.safe_load(file.read_text(encoding="utf-8"))
    if "nodefaults" not in environment["channels"]:
        sys.exit(f"error: {file}: without nodefaults, conda would add channels that are not there")
    *specs, pip_part = environment["dependencies"]
    names = [name for name in environment["channels"] if name != "nodefaults"]
    asyncio.run(link([(CHANNELS / name).as_uri() for name in names], specs, prefix))
    with tempfile.NamedTemporaryFile("w", suffix=".requirements.txt") as requirements:
        requirements.write("\n".join(pip_part["pip"]))
        requirements.flush()
        install = [prefix / "bin/python", "-m", "pip", "install", "--upgrade", "--quiet"]
        subprocess.run([*install, "--requirement", requirements.name], check=True)


async def link(channels: list[str], specs: list[str], prefix: Path) -> None:
    """Put what `specs` need from `channels` into a new prefix."""
    import rattler

    records = await rattler.solve(
        channels,
        specs,
        platforms=["linux-64", "noarch"],
        virtual_packages=rattler.VirtualPackage.detect(),
    )
    await rattler.install(
        records, prefix, cache_dir=CHANNELS.parent / "packages", show_progress=False
    )


if __name__ == "__main__":
    main(sys.argv[1:])
