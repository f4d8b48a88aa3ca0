"""The sizes of a small corpus, and a runner for the scripts that write corpora."""

import os
import subprocess
import sys
from pathlib import Path

from conftest import ROOT

from qunlearn.settings.corpora import MiniSettings

SMALL = MiniSettings(forget=6, retain=5, holdout=4, pretrain=9)


def run_script(
    script: str, *arguments: object, code: int = 0, folder: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    run = subprocess.run(
        [sys.executable, ROOT / "workflow/scripts" / script, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == code, run.stderr
    return run
