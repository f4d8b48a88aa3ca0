"""Files of a Hugging Face repository at a pinned commit.

huggingface_hub downloads, retries, resumes, keeps its cache (HF_HOME), works offline from it
(HF_HUB_OFFLINE=1) and alone handles the user's token. This module accepts nothing but a full
commit, because a branch moves; compares every file it hands out with its hash, also offline, where
the library's `verify_repo_checksums` cannot; and turns each failure into one line that says what to
do. The library's own words are neither shown nor logged: they contain signed addresses.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from qunlearn.models.sources import RepositoryKind, is_commit
from qunlearn.run.errors import InputError
from qunlearn.run.files import sha256


def snapshot(repo_id: str, revision: str, *, kind: RepositoryKind, patterns: Sequence[str]) -> Path:
    """The cache's folder with files of a repository at a commit; downloads what is missing.

    Args:
        repo_id: owner/name.
        revision: a full commit.
        patterns: which files, e.g. `*.safetensors`; a `*` matches slashes too.

    Raises:
        InputError: `revision` is not a commit; the files are not to be had (`explained`); or one
            does not have the hash that names it in the cache, and was removed.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils.sha import git_hash

    if not is_commit(revision):
        raise InputError(f"{repo_id}: '{revision}' is not a full commit hash (40 hex digits)")
    how: Any = {"repo_type": kind, "revision": revision, "allow_patterns": list(patterns)}
    with explained(repo_id, kind):
        folder = Path(snapshot_download(repo_id, **how))
    for path in {path for pattern in patterns for path in folder.rglob(pattern)}:
        if not path.is_symlink():
            continue  # on a file system without links no name tells the hash
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


def present_commit(repo_id: str, kind: RepositoryKind, branch: str | None = None) -> str:
    """The commit that a branch (None: the default one), a tag or a short hash stands for now."""
    from huggingface_hub import HfApi

    with explained(repo_id, kind):
        return str(HfApi().repo_info(repo_id, repo_type=kind, revision=branch).sha)


@contextmanager
def explained(repo_id: str, kind: RepositoryKind) -> Iterator[None]:
    """Turn what huggingface_hub raises inside the block into an InputError that says what to do."""
    import httpx2
    from huggingface_hub import constants, errors

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        yield
    except (OSError, ValueError, RuntimeError, httpx2.HTTPError) as raised:
        error: BaseException = raised
        while isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__ is not None:
            error = error.__cause__  # what really happened, behind "not in the cache either"
        status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 0
        why = f"HTTP {status}" if status else getattr(error, "strerror", None)
        page = f"https://huggingface.co/{'datasets/' if kind == 'dataset' else ''}{repo_id}"
        advice = (
            f"the download failed ({why or type(error).__name__}); check the network, the proxy, "
            f"HF_ENDPOINT and the disk of {constants.HF_HUB_CACHE}, and run the command again; "
            "HF_HUB_OFFLINE=1 takes what is in the cache"
        )
        if isinstance(error, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError):
            advice = "not all in the cache, and HF_HUB_OFFLINE is set; download once without"
        elif status in (401, 403, 404):
            advice = (
                f"no such repository or commit, or no access; look at {page}, accept its licence, "
                "then `hf auth login` or set HF_TOKEN"
            )
        raise InputError(f"{kind} {repo_id}: {advice}") from raised
