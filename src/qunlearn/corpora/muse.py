"""A corpus in MUSE's layout: a folder of the user's, or a dataset of the Hugging Face hub.

The card of such a dataset, README.md, declares a configuration a subset (`raw`, `knowmem`,
`verbmem`, `privleak`), each with its splits and their Parquet files; texts are in the column `text`
(https://huggingface.co/muse-bench/MUSE-News, …/MUSE-Books). Stray JSON files lie beside the Parquet
ones, and older commits have other names: so the card decides, and what it lacks is refused.

`datasets` reads what `models.hub` has fetched, without a request. No code of a repository is run:
nothing but the card and Parquet files is fetched, and datasets 5 knows no loading scripts.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qunlearn.corpora import layout, overlaps
from qunlearn.corpora.excerpt import check_pretrain, excerpt
from qunlearn.corpora.layout import Corpus
from qunlearn.models import hub
from qunlearn.run.errors import InputError
from qunlearn.run.manifest import verify as verify_files
from qunlearn.settings.corpora import ExcerptSettings

FILES = [name for name in layout.FILES if name != layout.PRETRAIN]


def make(
    settings: ExcerptSettings, source: Path | None, dataset: str, revision: str, scratch: bool
) -> tuple[Corpus, dict[str, Path], dict[str, Any]]:
    """A corpus on disk or, without `source`, on the hub, or an excerpt; its inputs and facts on it.

    Each overlap of lists that is tolerated is a warning on stderr.

    Raises:
        InputError: as `read_local`, `download`, `excerpt`; or no text is left for a base that is
            trained from scratch.
    """
    if source is not None:
        whole, inputs, where = read_local(source), {"source": source}, str(source)
        facts: dict[str, Any] = {"source": "local"}
    else:
        (whole, inputs), where = download(dataset, revision), f"dataset {dataset}"
        facts = {"source": f"hub:{dataset}", "revision": revision}
    corpus = excerpt(whole, settings)
    if scratch:
        check_pretrain(corpus.raw["pretrain"], where)
    found = [str(overlap) for overlap in overlaps.find(corpus, whole)]
    for overlap in found:
        print(f"warning: {overlap}", file=sys.stderr)
    return corpus, inputs, facts | {"overlaps": found}


def read_local(folder: Path) -> Corpus:
    """Read a user's corpus and check what would quietly spoil its metrics.

    Besides the form of each item: overlaps of lists (`overlaps.RULES`), and the hashes of a folder
    that the workflow made for another experiment.

    Raises:
        InputError: names the file and the item.
    """
    corpus = layout.load(folder)
    verify_files(folder)
    overlaps.check(f"{folder}/", corpus)
    return corpus


def download(repo_id: str, revision: str) -> tuple[Corpus, dict[str, Path]]:
    """Fetch the subsets of a dataset at a commit, or take them from the hub's cache.

    Args:
        repo_id: owner/name of the dataset.
        revision: a full commit.

    Returns:
        The corpus, and path in the repository -> the file that was read.

    Raises:
        InputError: the files cannot be had (`models.hub.snapshot`) or are not what the card says;
            it lacks a subset or split; a column is missing or is not text; or lists overlap, as
            for `read_local`.
    """
    import datasets  # type: ignore[import-untyped]

    subsets = sorted({layout.split_name(file)[0] for file in FILES})
    patterns = ["README.md", *(f"{subset}/*.parquet" for subset in subsets)]
    folder = hub.snapshot(repo_id, revision, kind="dataset", patterns=patterns)
    datasets.disable_progress_bars()

    def read(file: str) -> Any:
        subset, split = layout.split_name(file)
        try:
            table = datasets.load_dataset(str(folder), subset, split=split, cache_dir=cache)
            rows = table.to_list()
        except Exception as error:  # whatever a parser of YAML or Parquet gives rise to
            raise InputError(
                f"dataset {repo_id}: {subset}/{split} is not in the card or not what it says "
                f"({type(error).__name__}); pin a commit in MUSE's layout, or use a local copy"
            ) from error
        return rows if subset in ("knowmem", "verbmem") else [row.get("text") for row in rows]

    with TemporaryDirectory() as cache:  # of Arrow files; the Parquet ones stay in the hub's cache
        corpus = layout.collect(FILES, read, f"dataset {repo_id}: ")
    overlaps.check(f"dataset {repo_id}: ", corpus)
    found = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    return corpus, {file.relative_to(folder).as_posix(): file for file in found}
