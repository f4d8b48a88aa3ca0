"""One process at a time: locks that end with their process."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.files import new_folder, write_text
from qunlearn.locks import exclusive, give_back, take

HOLD = """
import sys, time
from pathlib import Path
from qunlearn.locks import exclusive
with exclusive(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def holder(path: Path) -> subprocess.Popen[str]:
    """Another process that has `path` until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        env={"PYTHONPATH": str(ROOT / "src")},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_ends_with_its_process(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "output"
    process = holder(path)
    assert take(tmp_path / ".output.lock") is None
    threading.Timer(0.3, process.kill).start()
    with exclusive(path) as waited:
        assert waited
    process.wait()
    assert capsys.readouterr().out == (
        f"another process is writing {path}: waiting until it ends\n"
    )
    with exclusive(path) as waited:
        assert not waited
    assert names(tmp_path) == []


def test_who_waits_gets_the_lock_of_a_file_that_was_deleted_meanwhile(tmp_path: Path) -> None:
    """Each holder deletes the file; none may lock the deleted one beside a new one."""
    path, inside, most = tmp_path / "output", 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(30):
            with exclusive(path):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert names(tmp_path) == []


@pytest.mark.parametrize("write", ["folder", "text"])
def test_two_writers_of_one_output_come_one_after_the_other(write: str, tmp_path: Path) -> None:
    path = tmp_path / "output"

    def work() -> None:
        if write == "text":
            write_text(path, "second")
            return
        with new_folder(path) as work:
            (work / "second").touch()

    held = take(tmp_path / ".output.lock")
    assert held is not None
    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(0.2)
    assert names(tmp_path) == [".output.lock"]  # it has not begun
    give_back(held, tmp_path / ".output.lock")
    thread.join()
    assert names(tmp_path) == ["output"]


def test_without_locks_the_work_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(descriptor: int, operation: int) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    with new_folder(tmp_path / "output") as work:
        (work / "a").touch()
    assert names(tmp_path) == ["output"]
