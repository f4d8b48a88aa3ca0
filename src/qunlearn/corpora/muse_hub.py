"""A corpus that is a dataset of the MUSE benchmark on the Hugging Face hub.

What is taken for granted was read from the cards and listings of muse-bench/MUSE-News and
muse-bench/MUSE-Books (https://huggingface.co/muse-bench). The card, README.md, declares a
configuration a subset, each with its splits and their Parquet files: `raw` (forget, retain1,
retain2, holdout) and `privleak` (forget, retain, holdout) with the column text; `knowmem`
(forget_qa, forget_qa_icl, retain_qa, retain_qa_icl) with question and answer; `verbmem` (forget)
with prompt and gt; and, in MUSE-News alone, `scal` and `sust` (forget_1 to forget_4) with text.
Older commits have other names, and stray JSON files lie beside the Parquet ones: so the card says
what is fetched, and anything else than the above is refused. Further columns, splits and
configurations (`train`) are left alone.

`datasets` reads the files that `models.hub` has fetched, from their folder and without a request.
No code of a repository is ever run: datasets 5 has no support for loading scripts any more, and
files are fetched only as far as the card declares them as data.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qunlearn.corpora import layout, local
from qunlearn.corpora.layout import Corpus
from qunlearn.models import hub
from qunlearn.run.errors import InputError

CARD = "README.md"
COLUMNS = ("text",)
"""The columns of a subset whose items are plain texts."""


@dataclass(frozen=True)
class Download:
    """A dataset of the hub as it was found.

    Attributes:
        corpus: its content.
        revision: the commit that it was resolved to.
        files: path in the repository -> the file that was read.
        rows: `<subset>/<split>` -> number of rows.
    """

    corpus: Corpus
    revision: str
    files: dict[str, Path]
    rows: dict[str, int]


def download(repo_id: str, revision: str) -> Download:
    """Fetch the subsets of a dataset at a commit, or take them from the hub's cache.

    Args:
        repo_id: owner/name of the dataset.
        revision: a full commit.

    Raises:
        InputError: the files cannot be had (`models.hub.snapshot`); the card is unreadable or
            lacks a subset or split; a file is unreadable; a column is missing or is no text; the
            number of rows is not that of the card; or as `local.verify` does.
    """
    card = hub.snapshot(repo_id, revision, kind="dataset", patterns=[CARD]) / CARD
    declared = _declared(repo_id, card)
    subsets = _subsets(repo_id, declared)
    patterns = [CARD, *(pattern for name in subsets for pattern in _patterns(declared[name]))]
    folder = hub.snapshot(repo_id, revision, kind="dataset", patterns=patterns)
    found = {
        f"{subset}/{split}": items
        for subset in subsets
        for split, items in _load(repo_id, folder, subset, subsets[subset]).items()
    }
    parts: dict[str, dict[str, list[Any]]] = {"raw": {"pretrain": []}}
    for place, items in found.items():
        subset, split = place.split("/")
        parts.setdefault(subset, {})[split] = items
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = {path.relative_to(folder).as_posix(): path for path in files}
    return Download(
        corpus=_verified(repo_id, Corpus(**parts)),  # type: ignore[arg-type]
        revision=folder.name,
        files={
            name: path for name, path in named.items() if any(fnmatch(name, p) for p in patterns)
        },
        rows={place: len(items) for place, items in found.items()},
    )


def _verified(repo_id: str, corpus: Corpus) -> Corpus:
    """`corpus`, checked as a user's own folder is."""
    with TemporaryDirectory() as folder:
        layout.write(Path(folder), corpus)
        try:
            return local.verify(Path(folder))
        except InputError as error:
            complaint = str(error).replace(f"{folder}/", "")
            raise InputError(f"dataset {repo_id}: {complaint}") from error


def _declared(repo_id: str, card: Path) -> dict[str, Mapping[str, Any]]:
    """Name -> what the card says of each configuration."""
    from huggingface_hub import metadata_load

    try:
        configs = (metadata_load(card) or {}).get("configs", [])
        return {entry["config_name"]: entry for entry in configs}
    except (
        Exception
    ) as error:  # whatever a parser of YAML, or a card of another form, gives rise to
        raise InputError(
            f"dataset {repo_id}: its card cannot be read ({type(error).__name__} in {CARD}); pin "
            "another commit, or use a local copy"
        ) from error


def _subsets(
    repo_id: str, declared: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Subset -> split -> columns of what is to be read.

    Raises:
        InputError: the card lacks a subset or a split that the layout must have.
    """
    wanted: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, fields in layout.FILES.items():
        if name != layout.PRETRAIN:
            subset, split = name.removesuffix(".json").split("/")
            wanted.setdefault(subset, {})[split] = fields or COLUMNS
    for subset, names in layout.OPTIONAL.items():
        if subset in declared:
            wanted[subset] = {Path(name).stem: COLUMNS for name in names}
    for subset, splits in wanted.items():
        if subset not in declared:
            raise InputError(
                f"dataset {repo_id}: its card has no configuration '{subset}' (it has: "
                f"{', '.join(declared) or 'none'}); pin a commit in MUSE's layout"
            )
        there = [entry.get("split") for entry in _data_files(declared[subset])]
        for split in splits:
            if split not in there:
                raise InputError(
                    f"dataset {repo_id}: its configuration '{subset}' has no split '{split}' (it "
                    f"has: {', '.join(map(str, there)) or 'none'}); pin a commit in MUSE's layout"
                )
    return wanted


def _data_files(entry: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    files = entry.get("data_files", [])
    return [part for part in files if isinstance(part, dict)] if isinstance(files, list) else []


def _patterns(entry: Mapping[str, Any]) -> Iterator[str]:
    """The patterns of the files of a configuration."""
    for part in _data_files(entry):
        path = part.get("path", [])
        yield from [path] if isinstance(path, str) else path


def _load(
    repo_id: str, folder: Path, subset: str, splits: Mapping[str, tuple[str, ...]]
) -> dict[str, list[Any]]:
    """Split -> texts, or objects with the columns as fields, of one subset."""
    import datasets  # type: ignore[import-untyped]

    datasets.disable_progress_bars()
    with TemporaryDirectory() as cache:  # of Arrow files; the Parquet ones stay in the hub's cache
        try:
            tables = datasets.load_dataset(str(folder), subset, cache_dir=cache)
        except (datasets.exceptions.DatasetsError, OSError, ValueError) as error:
            raise InputError(
                f"dataset {repo_id}: '{subset}' at {folder.name} is not what its card says "
                f"({type(error).__name__}); pin another commit, or use a local copy"
            ) from error
        return {
            split: _items(f"dataset {repo_id}: {subset}/{split}", tables[split], columns)
            for split, columns in splits.items()
        }


def _items(where: str, table: Any, columns: tuple[str, ...]) -> list[Any]:
    for column in columns:
        if column not in table.column_names:
            raise InputError(
                f"{where} has no column '{column}' (it has: {', '.join(table.column_names)}); pin "
                "a commit in MUSE's layout"
            )
        kind = getattr(table.features[column], "dtype", "a structure")
        if kind not in ("string", "large_string"):
            raise InputError(
                f"{where}: column '{column}' holds {kind}, not text; pin another commit"
            )
    rows: list[dict[str, Any]] = table.select_columns(list(columns)).to_list()
    return [row["text"] for row in rows] if columns == COLUMNS else rows
