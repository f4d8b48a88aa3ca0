"""A channel named conda-forge in a folder: real .conda packages of python and pip, and their index.

    python build.py FOLDER PIP_VERSION

Python is the CPython that runs this, without its site-packages; pip is PyPI's. To be run by an
interpreter that has requirements.txt.
"""

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

from rattler_build import assemble_package

MAJOR_MINOR = f"python{sys.version_info.major}.{sys.version_info.minor}"
SITE_PACKAGES = Path("lib", MAJOR_MINOR, "site-packages")
NOT_NEEDED = shutil.ignore_patterns("site-packages", "test", "__pycache__", "*.a")


def main(folder: str, pip: str) -> None:
    """Build both packages in FOLDER/conda-forge/linux-64 and index them."""
    channel = Path(folder, "conda-forge")
    python = platform.python_version()
    stage_python(Path(folder, "python"))
    stage_pip(Path(folder, "pip"), pip)
    index(channel / "noarch", [])
    index(
        channel / "linux-64",
        [
            package(channel / "linux-64", Path(folder, "python"), "python", python, []),
            package(channel / "linux-64", Path(folder, "pip"), "pip", pip, [f"python {python}.*"]),
        ],
    )


def stage_python(prefix: Path) -> None:
    """Lay the running CPython out as conda does."""
    (prefix / "bin").mkdir(parents=True)
    shutil.copy2(Path(sys.executable).resolve(), prefix / "bin" / MAJOR_MINOR)
    for name in ("python", "python3"):
        (prefix / "bin" / name).symlink_to(MAJOR_MINOR)
    paths = sysconfig.get_paths(vars={"base": sys.base_prefix, "installed_base": sys.base_prefix})
    shutil.copytree(paths["stdlib"], prefix / "lib" / MAJOR_MINOR, ignore=NOT_NEEDED)
    shutil.copytree(paths["include"], prefix / "include" / MAJOR_MINOR)
    for library in Path(sysconfig.get_config_var("LIBDIR")).glob("libpython3*.so*"):
        shutil.copy2(library, prefix / "lib" / library.name)
    (prefix / SITE_PACKAGES).mkdir()
    (prefix / SITE_PACKAGES / "README.txt").write_text("an empty folder would not be packed\n")


def stage_pip(prefix: Path, version: str) -> None:
    """Lay PyPI's pip out as conda does."""
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*install, "--target", prefix / SITE_PACKAGES, f"pip=={version}"], check=True)
    shutil.rmtree(prefix / SITE_PACKAGES / "bin", ignore_errors=True)


def package(
    folder: Path, staged: Path, name: str, version: str, depends: list[str]
) -> dict[str, Any]:
    """Pack a staged prefix as it is, no path in it being rewritten when it is linked.

    Returns: what an index says of the package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    described = {"name": name, "version": version, "depends": depends}
    made = assemble_package(
        **described,
        target_platform="linux-64",
        build_string="local_0",
        output_dir=folder,
        files_dir=staged,
        compression_level=1,
        detect_prefix=False,
    )
    content = Path(made.path).read_bytes()
    described |= {"build": "local_0", "build_number": 0, "subdir": "linux-64"}
    described |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    return {"file": Path(made.path).name, **described, "timestamp": int(time.time() * 1000)}


def index(folder: Path, packages: list[dict[str, Any]]) -> None:
    """Write repodata.json; rattler's own indexing crashes now and then in a thread of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = {each.pop("file"): each for each in packages}
    data = {"info": {"subdir": folder.name}, "packages": {}, "packages.conda": entries}
    (folder / "repodata.json").write_text(json.dumps(data), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
