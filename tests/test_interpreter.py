"""The Python that jobs run on when Snakemake's own has no torch."""

import sys
import venv
from pathlib import Path

import pytest

from qunlearn.run import interpreter
from qunlearn.run.errors import InputError


def test_snakemakes_own_python_runs_the_jobs_where_it_can(tmp_path: Path) -> None:
    made(tmp_path)
    assert interpreter.interpreter(tmp_path) == sys.executable


def test_make_setups_python_runs_the_jobs_of_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(interpreter, "NEEDED", "no_such_package")
    assert interpreter.interpreter(tmp_path) == sys.executable
    python = made(tmp_path)
    assert interpreter.interpreter(tmp_path) == str(python)


def test_a_python_without_torch_is_told_of_before_any_job(tmp_path: Path) -> None:
    interpreter.check(sys.executable)
    venv.create(tmp_path / "empty")
    for python in (tmp_path / "empty/bin/python", tmp_path / "missing"):
        with pytest.raises(InputError, match=rf"config key 'python': {python} .*make setup"):
            interpreter.check(str(python))


def made(folder: Path) -> Path:
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    return python
