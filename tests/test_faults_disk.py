"""A full disk and a closed one: what one line says of them."""

import errno
from pathlib import Path

import pytest
from small_faults import remount, small_disk

from qunlearn.run.errors import InputError
from qunlearn.run.files import disk_error, new_folder, write_text

FULL = "no space left on device; make room and give the same command again"


@pytest.mark.parametrize(
    "error", [ValueError("28"), RuntimeError("28"), OSError(errno.EIO, "Input/output error")]
)
def test_other_errors_stay_what_they_are(error: Exception, tmp_path: Path) -> None:
    assert disk_error(error, tmp_path) is None
    with pytest.raises(type(error)), new_folder(tmp_path / "output"):
        raise error


def test_a_quota_is_like_a_full_disk(tmp_path: Path) -> None:
    fault = disk_error(OSError(errno.EDQUOT, "Disk quota exceeded"), tmp_path)
    assert (
        str(fault) == f"{tmp_path}: disk quota exceeded; make room and give the same command again"
    )


def test_every_library_that_writes_large_files(tmp_path: Path) -> None:
    """What they raise is theirs to change."""
    import torch
    from safetensors.torch import save_file

    large = torch.zeros(2**20)
    disk = tmp_path / "disk"
    with small_disk(disk, "size=1m"):
        writers = {
            "python": lambda folder: (folder / "a").write_bytes(large.numpy().tobytes()),
            "safetensors": lambda folder: save_file({"a": large}, folder / "a"),
            "torch": lambda folder: torch.save(large, folder / "a"),
        }
        for name, write in writers.items():
            with pytest.raises(InputError, match=FULL), new_folder(disk / "output") as work:
                write(work)
            assert list(disk.iterdir()) == [], name
        with pytest.raises(InputError, match=f"{disk}/file: {FULL}"):
            write_text(disk / "file", "a" * 2**21)
        assert list(disk.iterdir()) == []


def test_what_is_mapped_has_its_room_before(tmp_path: Path) -> None:
    """A write to a mapped file on a full disk ends the process (SIGBUS)."""
    import torch
    from tiny_models import RETAIN, full_precision, tiny_llama

    from qunlearn.training.reference import CachedStates

    with small_disk(tmp_path / "disk", "size=4k"), pytest.raises(OSError) as caught:
        CachedStates(tiny_llama(), RETAIN * 8, 4, full_precision, tmp_path / "disk/reference")
    assert caught.value.errno == errno.ENOSPC
    assert torch.get_num_threads() > 0


def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    with small_disk(disk, "size=1m"):
        remount(disk, "ro")
        with pytest.raises(InputError, match=f"^{disk}/.*read-only file system; make it writable"):
            write_text(disk / "file", "text")
