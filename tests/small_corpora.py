"""Small corpora, in memory and on disk, and a runner for the scripts that write corpora."""

import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

import forked_python
from conftest import ROOT

from qunlearn.corpora import layout, mini
from qunlearn.settings.corpora import MiniSettings

SMALL = MiniSettings(forget=6, retain=5, holdout=4, pretrain=9)


def whole_corpus(folder: Path) -> None:
    """Write a corpus of three documents a list."""
    layout.write(folder, mini.generate("news", MiniSettings(0, 3, 3, 3, 6)))


def script(name: str) -> Callable[..., None]:
    """The function behind a script's command line."""
    main: Callable[..., None] = runpy.run_path(str(ROOT / "workflow/scripts" / name))["main"]
    return main


def run_script(
    script: str, *arguments: object, code: int = 0, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "workflow/scripts" / script), *map(str, arguments)]
    run = forked_python.run(command, folder, **environment)
    assert run.returncode == code, run.stderr
    return run
