"""Large files of a repository on the hub, downloaded so that nothing arrives twice.

huggingface_hub takes up a connection that broke, but forgets a file's beginning when it gives up or
its process is killed; of a checkpoint that may be ten gigabytes. So the large files (those that the
hub keeps in LFS and knows by their SHA-256) are put into its cache here, under the name that it
gives them itself, and it finds them there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage

from qunlearn.errors import InputError
from qunlearn.files import sha256
from qunlearn.huberrors import Asked, disk_full, patiently


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its path, bytes, and SHA-256 if it is a large one."""

    path: str
    size: int
    sha256: str | None


def fetch(asked: Asked, files: Sequence[RemoteFile], attempts: int) -> set[str]:
    """Bring the large ones among `files` into the cache; returns the hashes of those that came.

    Args:
        asked: the repository and its commit.
        files: what is wanted of it.
        attempts: requests that bring nothing before giving up.

    Raises:
        InputError: the disk has no room for them; a file has another hash than the hub says; the
            hub cannot be reached or refuses.
    """
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    cache = Path(constants.HF_HUB_CACHE)
    name = repo_folder_name(repo_id=asked.repo_id, repo_type=asked.kind)
    blobs = cache / name / "blobs"
    missing = [file for file in files if file.sha256 and not (blobs / file.sha256).exists()]
    if not missing:
        return set()
    locks = cache / ".locks" / name
    for folder in (blobs, locks):
        folder.mkdir(parents=True, exist_ok=True)
    needed = sum(file.size - _size(_partial(blobs, file)) for file in missing)
    if needed > disk_usage(blobs).free:
        raise disk_full(asked, blobs, needed)
    for file in missing:
        print(f"{asked}: {file.path}, {file.size / 1e6:.1f} MB", flush=True)
        with WeakFileLock(locks / f"{file.sha256}.lock"):  # the library's own lock of this file
            if not (blobs / str(file.sha256)).exists():
                _fetch_one(asked, file, blobs, attempts)
    return {str(file.sha256) for file in missing}


def _fetch_one(asked: Asked, file: RemoteFile, blobs: Path, attempts: int) -> None:
    partial = _partial(blobs, file)
    partial.touch()
    while _size(partial) < file.size:
        patiently(lambda: _go_on(asked, file, partial), asked, attempts)
    if sha256(partial) != file.sha256:
        partial.unlink()
        raise InputError(
            f"{asked}: {file.path} came with another hash than the hub gives, {file.sha256}; give "
            "the command again to fetch it anew"
        )
    partial.rename(blobs / str(file.sha256))


def _go_on(asked: Asked, file: RemoteFile, partial: Path) -> None:
    """Append to `partial` what the hub sends, until all is there or the connection breaks.

    A connection that breaks after it brought something is no failure: the caller asks for the rest.

    Raises:
        OSError: nothing came.
    """
    import httpx2
    from huggingface_hub import constants, get_session, hf_hub_url, hf_raise_for_status
    from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

    before = _size(partial)
    url = hf_hub_url(asked.repo_id, file.path, repo_type=asked.kind, revision=asked.revision)
    headers = build_hf_headers() | {"Accept-Encoding": "identity"}
    if before:
        headers["Range"] = f"bytes={before}-"
    try:
        with get_session().stream(
            "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT
        ) as response:
            hf_raise_for_status(response)
            # A server that does not know ranges sends all of it, with status 200.
            with partial.open("ab" if response.status_code == 206 else "wb") as stream:
                for chunk in response.iter_bytes():
                    stream.write(chunk)
    except httpx2.TransportError:
        if _size(partial) <= before:
            raise
    if _size(partial) <= before:
        raise OSError(f"{file.path}: nothing came")


def _partial(blobs: Path, file: RemoteFile) -> Path:
    return blobs / f"{file.sha256}.partial"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
