"""What the user gives, looked at while the workflow is put together: also by a dry run."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from qunlearn.corpora import local, mini
from qunlearn.corpora.excerpt import check_pretrain
from qunlearn.models import sources
from qunlearn.models.checkpoints import check_checkpoint, check_tokenizer
from qunlearn.models.sources import Source
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings


def check_given(config: Mapping[str, Any], configfiles: Iterable[Path | str]) -> None:
    """Look at the folders, files and commits that a configuration names.

    Args:
        config: full, as `config.resolve` gives it.
        configfiles: where it was read from; they are named in advice.

    Raises:
        InputError: a commit is missing; or a corpus, a checkpoint or a GGUF file is not there or is
            not of its form, or a corpus lacks the text of a base that is trained from scratch. The
            message has the key that names it.
    """
    sources.check_pinned(config, configfiles)
    for corpus in config["corpora"]:
        if config["corpus"]["source"] == "mini":
            _check_mini(corpus, MiniSettings(**config["corpus"]["mini"]))
            _check_shots(config["evaluate"]["shots"], config["corpus"]["mini"]["shots"])
        # Of an excerpt it is known once the corpus is there: its job looks.
        scratch = sources.from_scratch(config, corpus) and not config["corpus"]["excerpt"]["texts"]
        if config["corpus"]["source"] == "local":
            _check_corpus(Path(config["muse_dir"]) / corpus, scratch=scratch)
        if config["corpus"]["source"] == "hub" and scratch:  # where MUSE's layout has no such text
            check_pretrain([], ExcerptSettings(), f"dataset {config['corpus']['hub'][corpus]}")
        tokenizer = sources.tokenizer_of(config, corpus)
        if tokenizer is not None:
            _check_source("models.tokenizer", tokenizer, tokenizer=True)
        for name, source in sources.used(config, corpus).items():
            _check_source(f"models.{name}", source, tokenizer=tokenizer is None)


def _check_mini(name: str, settings: MiniSettings) -> None:
    try:
        mini.check(name, settings)
    except InputError as error:
        raise InputError(f"config keys 'corpora' and 'corpus.mini': {error}") from None


def _check_shots(asked: int, made: int) -> None:
    if asked > made:
        raise InputError(
            f"config key 'evaluate.shots': {asked} is more than corpus.mini.shots, {made}; lower "
            "it, or start from a small experiment: --configfile config.yaml and then your own"
        )


def _check_corpus(folder: Path, *, scratch: bool) -> None:
    try:
        found = local.verify(folder)
        if scratch:
            check_pretrain(found.raw["pretrain"], ExcerptSettings(), str(folder))
    except InputError as error:
        raise InputError(f"config key 'muse_dir': {error}") from None
    except OSError as error:  # a name that is too long, a loop of links
        raise InputError(
            f"config key 'muse_dir': {folder}: {error.strerror}; mend the path"
        ) from None


def _check_source(key: str, source: Source, *, tokenizer: bool) -> None:
    """Look at a checkpoint, or for `models.tokenizer` at a tokenizer, that is on this machine."""
    try:
        if source.kind == "gguf":
            sources.gguf_file(source.value)
        elif source.kind == "folder" and key == "models.tokenizer":
            check_tokenizer(Path(source.value), None)
        elif source.kind == "folder":
            check_checkpoint(Path(source.value), tokenizer=tokenizer)
    except InputError as error:
        raise InputError(f"config key '{key}': {error}") from None
    except OSError as error:
        raise InputError(f"config key '{key}': {source}: {error.strerror}; mend the path") from None
