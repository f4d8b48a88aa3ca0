"""The folders, files and commits that a configuration names: looked at also by a dry run.

Nothing here loads torch, reads a tensor or asks the network.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from qunlearn.corpora import layout, muse
from qunlearn.corpora.excerpt import check_pretrain, excerpt
from qunlearn.corpora.sizes import given
from qunlearn.experiment.config import Json
from qunlearn.experiment.names import AFTER
from qunlearn.models import sources
from qunlearn.models.checkpoints import (
    check_checkpoint,
    check_tokenizer,
    is_adapter,
    tensor_files,
)
from qunlearn.quantize.method import method_of
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.corpora import ExcerptSettings


def check_given(config: Json) -> None:
    """Look at what a configuration names; it is full, as `config.resolve` gives it.

    Raises:
        InputError: a commit is missing; a corpus, a checkpoint or a GGUF file is not there or
            damaged; or there is no text for a base that is trained from scratch.
    """
    sources.check_pinned(config)
    for corpus in config["corpora"]:
        _check_corpus(config, corpus)
        own = sources.tokenizer_of(config, corpus)
        for name, source in (*sources.used(config, corpus).items(), ("tokenizer", own)):
            if source is None:
                continue
            with about(f"models.{name}", source):
                if source.kind == "gguf":
                    sources.gguf_file(source.value)
                elif source.kind == "folder" and name == "tokenizer":
                    check_tokenizer(Path(source.value))
                elif name == AFTER and is_adapter(Path(source.value)):
                    tensor_files(Path(source.value))
                elif source.kind == "folder":
                    check_checkpoint(Path(source.value), tokenizer=own is None)


@contextmanager
def about(key: str, what: object) -> Iterator[None]:
    """Put the key, and what it names, before an InputError or an error of the system."""
    try:
        yield
    except InputError as error:
        raise InputError(f"config key '{key}' ({what}): {error}") from None
    except OSError as error:  # a name that is too long, a loop of links
        raise InputError(f"config key '{key}' ({what}): {error.strerror}; fix the path") from None


def _check_corpus(config: Json, corpus: str) -> None:
    kind, texts, where = config["corpus"]["source"], [], f"dataset of {corpus}"
    if kind in ("mini", "text"):
        with about(f"corpus.{'mini' if kind == 'mini' else 'forget'}", corpus):
            made = given(config, corpus)
        calibrated = [name for name in config["precisions"] if method_of(name).calibrated]
        if made and not made.raw["retain1"] and calibrated:
            raise InputError(
                f"config key 'precisions': {calibrated[0]} calibrates on text to keep; set "
                "corpus.retain, or drop it"
            )
        return
    if kind == "local":
        with about("muse_dir", folder := Path(config["muse_dir"]) / corpus):
            texts, where = muse.read_local(folder).raw["pretrain"], str(folder)
    if sources.from_scratch(config, corpus) and not config["corpus"]["excerpt"]["texts"]:
        with about("models.base", "scratch"):  # an excerpt is known once its job has made it
            check_pretrain(texts, where)


def read_corpus(config: Json, corpus: str, results: Path) -> layout.Corpus | None:
    """The corpus as the jobs will read it; None of a dataset that is not downloaded yet."""
    settings = ExcerptSettings(**config["corpus"]["excerpt"])
    if found := given(config, corpus):
        return excerpt(found, settings) if config["corpus"]["source"] == "local" else found
    made = results / "data" / corpus
    known = made / MANIFEST
    current = known.exists() and read_json(known).get("settings") == asdict(settings)
    return layout.load(made) if current else None
