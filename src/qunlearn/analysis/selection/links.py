"""A candidate's folder as another one, without its bytes a second time on the disk."""

import os
import shutil
from pathlib import Path

from qunlearn.run.errors import InputError


def link_folder(source: Path, folder: Path) -> None:
    """Fill `folder` with hard links to the files of `source`; copies where the disk has no links.

    Raises:
        InputError: `source` is missing.
    """
    if not source.is_dir():
        raise InputError(f"{source}: the chosen candidate is missing; train the grid again")
    shutil.copytree(source, folder, copy_function=_link_or_copy, dirs_exist_ok=True)


def _link_or_copy(source: str, destination: str) -> None:
    try:
        os.link(source, destination)
    except OSError:
        shutil.copy2(source, destination)
