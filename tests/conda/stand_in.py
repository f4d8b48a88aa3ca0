"""NOT conda: answers the few calls that Snakemake makes of it, by virtual environments.

Python is the one that runs this; pip, and by it the pip part, come from PyPI, as with conda. What
Snakemake has not been seen to call is refused.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

import yaml


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
    """Make an environment and hand the pip part to its pip."""
    _, pip, others = yaml.safe_load(file.read_text(encoding="utf-8"))["dependencies"]
    venv.create(prefix, with_pip=True)
    for packages in ([pip.replace("=", "==")], others["pip"]):
        install = [prefix / "bin/python", "-m", "pip", "install", "--quiet", *packages]
        subprocess.run(install, check=True)


if __name__ == "__main__":
    main(sys.argv[1:])
