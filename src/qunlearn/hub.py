"""Everything that we ask of the Hugging Face hub: files of a repository at a pinned commit.

A branch moves, so only a commit (40 hexadecimal digits) is taken. Files land in the hub's own cache
(HF_HOME), where other programs find them too, and are used from there without a request once they
are whole; with HF_HUB_OFFLINE=1 nothing else is tried. Connection errors, timeouts and the status
codes of a busy hub are tried again after 1, 2, 4, … seconds; a refusal is not. Every failure is one
line (`huberrors`). A token is sent by huggingface_hub and never read here.
"""

import re
from collections.abc import Sequence
from fnmatch import fnmatch
from hashlib import sha1
from pathlib import Path

from qunlearn import hubfiles
from qunlearn.errors import InputError
from qunlearn.files import sha256
from qunlearn.huberrors import Asked, Kind, cause, complaint, patiently
from qunlearn.hubfiles import RemoteFile

ATTEMPTS = 5
TIMEOUT = 30.0
"""Seconds for an answer about a repository."""


NAME = r"\w(?:[\w.-]{0,94}\w)?"
"""An owner or a repository."""


def is_commit(revision: object) -> bool:
    """Whether `revision` is a full commit: 40 hexadecimal digits in lower case."""
    return isinstance(revision, str) and re.fullmatch("[0-9a-f]{40}", revision) is not None


def check_revision(repo_id: str, revision: str) -> None:
    """Refuse what does not name the same files for ever.

    Raises:
        InputError: `revision` is no commit of 40 hexadecimal digits.
    """
    if not is_commit(revision):
        raise InputError(
            f"{repo_id}: {revision!r} is no commit of 40 hexadecimal digits; a branch, a tag or a "
            "short hash may mean other files tomorrow"
        )


def check_id(repo_id: str) -> None:
    """Refuse what the hub would not take for the id of a repository.

    Raises:
        InputError: `repo_id` is not of the form owner/name, in letters, digits, '-', '_' and '.'.
    """
    if not re.fullmatch(f"(?!.*(?:--|[.]{{2}}|[.]git$)){NAME}/{NAME}", repo_id, re.ASCII):
        raise InputError(f"'{repo_id}' is no id of the hub; write owner/name")


def present_commit(repo_id: str, kind: Kind, branch: str | None = None) -> str:
    """The commit that a branch of a repository is at now, or a tag or a short hash means.

    Args:
        repo_id: owner/name.
        branch: none is the default branch.

    Raises:
        InputError: no id; the hub cannot be reached, refuses, or has no such repository or branch.
    """
    check_id(repo_id)
    return _describe(Asked(repo_id, kind, branch), ATTEMPTS)[0]


def snapshot(
    repo_id: str,
    revision: str,
    *,
    kind: Kind,
    patterns: Sequence[str],
    attempts: int = ATTEMPTS,
) -> Path:
    """The folder in the hub's cache that holds the files of a repository at a commit.

    Files that are there already are not asked for again. A large file whose download was broken
    off, or whose process was killed, goes on where it was. The hash of every file is checked: by
    the hub a file is known by it (SHA-256 of large files, git's SHA-1 of the others).

    Args:
        repo_id: owner/name.
        revision: a full commit.
        patterns: which files, e.g. `*.safetensors`; a `*` matches slashes too.
        attempts: requests before giving up, each time.

    Raises:
        InputError: no id; no commit; no file matches; the hub cannot be reached, refuses
            or lacks something; offline and not wholly in the cache; the disk is full; a hash does
            not fit.
    """
    check_id(repo_id)
    check_revision(repo_id, revision)
    asked = Asked(repo_id, kind, revision)
    fetched: set[str] = set()
    folder = _in_cache(asked, patterns)
    if folder is None:
        _, files = _describe(asked, attempts)
        wanted = [file for file in files if _matches(file.path, patterns)]
        fetched = hubfiles.fetch(asked, wanted, attempts)
        folder = patiently(lambda: _library_snapshot(asked, patterns), asked, attempts)
    found = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file() and _matches(path.relative_to(folder).as_posix(), patterns)
    ]
    if not found:
        raise InputError(
            f"{asked}: no file at {revision} is like {' or '.join(patterns)}; see {asked.page}"
        )
    for path in found:
        _check_hash(asked, path, known=fetched)
    return folder


def small_files(repo_id: str, revision: str, *, kind: Kind, names: Sequence[str]) -> Path:
    """The cache's folder with at least those of `names` that the repository has at the commit.

    Raises:
        InputError: as `snapshot` does.
    """
    return snapshot(repo_id, revision, kind=kind, patterns=names)


def size_on_hub(repo_id: str, revision: str, kind: Kind, patterns: Sequence[str]) -> int:
    """Bytes of the files that match, whether they are in the cache or not.

    Raises:
        InputError: no id; no commit; the hub is needed and cannot be asked.
    """
    from huggingface_hub import get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError

    check_id(repo_id)
    check_revision(repo_id, revision)
    try:
        tree = get_cached_repo_tree(repo_id, repo_type=kind, revision=revision)
        sizes = {file.path: file.size for file in tree}
    except CachedRepoTreeNotFoundError:
        _, files = _describe(Asked(repo_id, kind, revision), ATTEMPTS)
        sizes = {file.path: file.size for file in files}
    return sum(size for path, size in sizes.items() if _matches(path, patterns))


def _describe(asked: Asked, attempts: int) -> tuple[str, list[RemoteFile]]:
    """The commit of a repository and its files, in one request."""
    from huggingface_hub import HfApi

    def ask() -> tuple[str, list[RemoteFile]]:
        api = HfApi()
        about = api.dataset_info if asked.kind == "dataset" else api.model_info
        info = about(asked.repo_id, revision=asked.revision, files_metadata=True, timeout=TIMEOUT)
        files = [
            RemoteFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None)
            for file in info.siblings or []
        ]
        if not is_commit(info.sha):
            raise ValueError("an answer without a commit")
        return str(info.sha), files

    return patiently(ask, asked, attempts)


def _in_cache(asked: Asked, patterns: Sequence[str]) -> Path | None:
    """The folder, if its cached listing says that it is whole; offline, whatever is there."""
    from huggingface_hub import constants, get_cached_repo_tree
    from huggingface_hub.errors import CachedRepoTreeNotFoundError, LocalEntryNotFoundError

    try:
        if not constants.is_offline_mode():
            get_cached_repo_tree(asked.repo_id, repo_type=asked.kind, revision=asked.revision)
        return _library_snapshot(asked, patterns, offline=True)
    except (CachedRepoTreeNotFoundError, LocalEntryNotFoundError) as error:
        if constants.is_offline_mode():
            raise complaint(cause(error), asked, 1) from error
        return None


def _library_snapshot(asked: Asked, patterns: Sequence[str], *, offline: bool = False) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()  # a log is no terminal
    return Path(
        snapshot_download(
            asked.repo_id,
            repo_type=asked.kind,
            revision=asked.revision,
            allow_patterns=list(patterns),
            local_files_only=offline,
        )
    )


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _check_hash(asked: Asked, path: Path, known: set[str]) -> None:
    """Compare a file with the name of its blob; `known` ones were just compared.

    Where the file system has no links the cache holds plain files, whose hash it does not tell.
    """
    if not path.is_symlink():
        return
    blob = path.parent / path.readlink()
    expected = blob.name
    if expected in known:
        return
    found = sha256(path) if len(expected) == 64 else _git_hash(path)
    if found != expected:
        blob.unlink()
        path.unlink()
        raise InputError(
            f"{asked}: {path} does not have the hash that the hub gives, {expected}; it was "
            "removed, so give the command again to fetch it anew"
        )


def _git_hash(path: Path) -> str:
    """The SHA-1 by which git knows a file's content."""
    content = path.read_bytes()
    return sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
