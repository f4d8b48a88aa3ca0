"""Files of a Hugging Face repository at a pinned commit.

huggingface_hub downloads, retries, resumes, keeps its cache (HF_HOME), works offline from it
(HF_HUB_OFFLINE=1) and alone handles the user's token. This module accepts nothing but a full
commit, because a branch moves; compares every file it hands out with its hash, also offline, where
the library's `verify_repo_checksums` cannot; and turns each failure into one line that says what to
do. The library's own words are neither shown nor logged: they contain signed addresses.
"""

import errno
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path

from qunlearn.models.sources import RepositoryKind, check_commit
from qunlearn.run.errors import InputError
from qunlearn.run.files import sha256


def snapshot(repo_id: str, revision: str, *, kind: RepositoryKind, patterns: Sequence[str]) -> Path:
    """The cache's folder with files of a repository at a commit; downloads what is missing.

    Args:
        repo_id: owner/name.
        revision: a full commit.
        patterns: which files, e.g. `*.safetensors`; a `*` matches slashes too.

    Raises:
        InputError: `revision` is not a commit; no file matches; the files are not to be had, for
            one of the reasons in `explained`; or a file does not have the hash that names it in the
            cache, and was removed.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.sha import git_hash

    check_commit(repo_id, revision)
    wanted = list(patterns)
    with explained(repo_id, kind, revision):
        folder = Path(
            snapshot_download(repo_id, repo_type=kind, revision=revision, allow_patterns=wanted)
        )
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [path for path in files if _matches(path.relative_to(folder).as_posix(), wanted)]
    if not found:
        raise InputError(
            f"{kind} {repo_id}: no file matches {' or '.join(wanted)} at {revision}; look at "
            f"{_page(repo_id, kind)}/tree/{revision}"
        )
    for path in found:
        if not path.is_symlink():  # a file system without links, where no name tells the hash
            continue
        expected = path.readlink().name  # SHA-256 of a large file, git's SHA-1 of a small one
        actual = sha256(path) if len(expected) == 64 else git_hash(path.read_bytes())
        if actual != expected:
            path.resolve().unlink()
            path.unlink()
            raise InputError(
                f"{kind} {repo_id}: {path} did not have the hash {expected} and was removed; run "
                "the command again to download it anew"
            )
    return folder


def size_on_hub(
    repo_id: str, revision: str, *, kind: RepositoryKind, patterns: Sequence[str]
) -> int:
    """Bytes of the files that match, whether they are in the cache or not.

    Raises:
        InputError: `revision` is not a commit, or the hub cannot be asked (`explained`).
    """
    from huggingface_hub import HfApi, RepoFile

    check_commit(repo_id, revision)
    with explained(repo_id, kind, revision):
        tree = HfApi().list_repo_tree(repo_id, recursive=True, revision=revision, repo_type=kind)
        files = [entry for entry in tree if isinstance(entry, RepoFile)]
    return sum(file.size for file in files if _matches(file.path, patterns))


def present_commit(repo_id: str, kind: RepositoryKind, branch: str | None = None) -> str:
    """The commit that a branch (None: the default one), a tag or a short hash stands for now.

    Raises:
        InputError: the hub cannot be asked, or does not know the repository or the branch
            (`explained`).
    """
    from huggingface_hub import HfApi

    with explained(repo_id, kind, branch):
        commit = str(HfApi().repo_info(repo_id, repo_type=kind, revision=branch).sha)
    check_commit(repo_id, commit)
    return commit


@contextmanager
def explained(repo_id: str, kind: RepositoryKind, revision: str | None) -> Iterator[None]:
    """Turn what huggingface_hub raises inside the block into one line that says what to do.

    Raises:
        InputError: not an id; no such repository or revision; access refused; offline and not in
            the cache; no connection; a disk that is full or cannot be written; any other failure of
            the hub or of the transfer.
    """
    import httpx2

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError) as error:
        remedy = _remedy(error, _page(repo_id, kind), revision)
        raise InputError(f"{kind} {repo_id}: {remedy}") from error


def _remedy(error: BaseException, page: str, revision: str | None) -> str:
    import httpx2
    from huggingface_hub import constants, errors

    cache = constants.HF_HUB_CACHE
    while isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
        error = error.__cause__  # what really happened, behind "not in the cache either"
    number = error.errno if isinstance(error, OSError) else None
    match error:
        case errors.OfflineModeIsEnabled() | errors.LocalEntryNotFoundError():
            return f"not all in the cache {cache}, and HF_HUB_OFFLINE is set; download once without"
        case errors.HFValidationError():
            return "not a hub id; write owner/name"
        case errors.RevisionNotFoundError():
            return f"has no revision {revision}; take a commit from {page}/commits/main"
        case errors.RepositoryNotFoundError() if not isinstance(error, errors.GatedRepoError):
            return f"not found, or private; check {page}, then `hf auth login` or set HF_TOKEN"
        case errors.HfHubHTTPError() if error.response.status_code in (401, 403):
            return f"access refused; accept the licence at {page}, then `hf auth login` or HF_TOKEN"
        case errors.HfHubHTTPError():
            return f"the hub answers HTTP {error.response.status_code}; try again later"
        case httpx2.TransportError():
            return (
                "no connection to the hub; check the network, the proxy and HF_ENDPOINT, or set "
                "HF_HUB_OFFLINE=1 to take what is in the cache"
            )
        case ValueError() | errors.FileMetadataError():
            return "what answers is not a hub; check the network, the proxy and HF_ENDPOINT"
        case _ if number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error):
            return f"the disk of {cache} is full; make room, or set HF_HOME to a larger disk"
        case OSError() if number is not None:
            return f"{cache}: {error.strerror}; set HF_HOME to a folder that you can write"
        case _:
            return f"the download broke off ({type(error).__name__}); run the command again"


def _matches(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch(path, pattern) for pattern in patterns)


def _page(repo_id: str, kind: RepositoryKind) -> str:
    return f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
