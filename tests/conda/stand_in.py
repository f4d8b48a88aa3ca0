"""NOT conda: answers the few calls that Snakemake makes of it, by virtual environments.

Python is the one that runs this. What the pip part names comes from the lock beside the YAML, every
hash checked, after torch in its build for this machine: docs/environments.md. What Snakemake has
not been seen to call is refused.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

import yaml

ENVS = Path(__file__).parents[2] / "envs"


def main(arguments: list[str]) -> None:
    """Answer one call."""
    match arguments:
        case ["--version"]:
            print("conda 24.7.1")  # the oldest that Snakemake takes
        case ["info", "--json"]:
            # Snakemake sources bin/activate in conda_prefix.
            folder = str(Path(__file__).parent)
            print(json.dumps({"conda_prefix": folder, "platform": "linux-64"}))
        case ["config", "--get", "channel_priority", "--json"]:
            print(json.dumps({"get": {"channel_priority": "strict"}}))
        case ["clean", "-y", "--tarballs"]:
            pass
        case ["env", "create", "--quiet", "--no-default-packages", "--file", file, "--prefix", to]:
            create(Path(file), Path(to))
        case _:
            sys.exit(f"error: this is not conda and does not know: {arguments}")


def create(file: Path, prefix: Path) -> None:
    """Make the environment that a YAML names."""
    made = yaml.safe_load(file.read_text(encoding="utf-8"))
    lock = ENVS / f"{made['name'].removeprefix('qunlearn-')}.lock"
    venv.create(prefix, with_pip=True)
    python = prefix / "bin/python"
    install = [python, "-m", "pip", "install", "--quiet"]
    subprocess.run([*install, made["dependencies"][1].replace("=", "==")], check=True)  # pip
    if "\ntorch==" in lock.read_text(encoding="utf-8"):
        subprocess.run([ENVS / "install_torch.sh", python], check=True)
    subprocess.run([*install, "--require-hashes", "-r", lock], check=True)
    subprocess.run([python, "-I", "-m", "pip", "check"], check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
