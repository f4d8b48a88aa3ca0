"""The folders, files and commits that a configuration names: looked at also by a dry run.

Nothing here loads torch, reads a tensor or asks the network.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qunlearn.corpora import layout, mini, muse
from qunlearn.corpora.excerpt import check_pretrain, excerpt
from qunlearn.evaluate.prompts import few_shot
from qunlearn.models import sources
from qunlearn.models.checkpoints import check_checkpoint, check_tokenizer
from qunlearn.models.sources import Source
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.corpora import ExcerptSettings, MiniSettings


def check_given(config: Mapping[str, Any]) -> None:
    """Look at what a configuration names; it is full, as `config.resolve` gives it.

    Raises:
        InputError: a commit is missing; a corpus, a checkpoint or a GGUF file is not there or
            damaged; a corpus has fewer examples than shots, or no text for a base that is trained
            from scratch. The message has the key that names it.
    """
    sources.check_pinned(config)
    for corpus in config["corpora"]:
        _check_corpus(config, corpus)
        other = sources.tokenizer_of(config, corpus)
        if other is not None:
            _check_source("models.tokenizer", other)
        for name, source in sources.used(config, corpus).items():
            _check_source(f"models.{name}", source, tokenizer=other is None)


def check_shots(corpus: layout.Corpus, shots: int, where: str) -> None:
    """Complain about a corpus with fewer in-context examples than `shots`.

    Args:
        where: the corpus, for the message.

    Raises:
        InputError: so it is.
    """
    with about("evaluate.shots", where):
        for name in ("forget_qa_icl", "retain_qa_icl"):
            few_shot(corpus.knowmem[name], shots, f"knowmem/{name}.json")


def read_corpus(config: Mapping[str, Any], corpus: str, results: Path) -> layout.Corpus | None:
    """The corpus as the jobs will read it; None of a dataset that is not downloaded yet."""
    settings = ExcerptSettings(**config["corpus"]["excerpt"])
    kind, made = config["corpus"]["source"], results / "data" / corpus
    if kind == "mini":
        return mini.generate(corpus, MiniSettings(**config["corpus"]["mini"]))
    if kind == "local":
        return excerpt(layout.load(Path(config["muse_dir"]) / corpus), settings)
    known = made / MANIFEST
    current = known.exists() and read_json(known).get("settings") == asdict(settings)
    return layout.load(made) if current else None


@contextmanager
def about(key: str, source: object = "") -> Iterator[None]:
    """Put the key, and what it names, before a complaint.

    Raises:
        InputError: what the block raises, and for an error of the system.
    """
    where = f"config key '{key}'" + (f" ({source})" if source else "")
    try:
        yield
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except OSError as error:  # a name that is too long, a loop of links
        raise InputError(f"{where}: {error.strerror}; mend the path") from None


def _check_corpus(config: Mapping[str, Any], corpus: str) -> None:
    kind, shots = config["corpus"]["source"], config["evaluate"]["shots"]
    # Of an excerpt it is known once the corpus is there: its job looks.
    scratch = sources.from_scratch(config, corpus) and not config["corpus"]["excerpt"]["texts"]
    if kind == "mini":
        with about("corpus.mini", f"corpora: {corpus}"):
            mini.check(corpus, MiniSettings(**config["corpus"]["mini"]))
        if shots > (made := config["corpus"]["mini"]["shots"]):
            raise InputError(
                f"config key 'evaluate.shots': {shots} is more than corpus.mini.shots, {made}; "
                "lower it, or start from a small experiment: --configfile config.yaml and then "
                "your own"
            )
    if kind == "local":
        folder = Path(config["muse_dir"]) / corpus
        with about("muse_dir", folder):
            found = muse.read_local(folder)
            if scratch:
                check_pretrain(found.raw["pretrain"], str(folder))
        check_shots(found, shots, str(folder))
    if kind == "hub" and scratch:  # where MUSE's layout has no such text
        check_pretrain([], f"dataset {config['corpus']['hub'][corpus]}")


def _check_source(key: str, source: Source, *, tokenizer: bool = True) -> None:
    """Look at a checkpoint, or for `models.tokenizer` at a tokenizer, that is on this machine."""
    with about(key, source):
        if source.kind == "gguf":
            sources.gguf_file(source.value)
        elif source.kind == "folder" and key == "models.tokenizer":
            check_tokenizer(Path(source.value))
        elif source.kind == "folder":
            check_checkpoint(Path(source.value), tokenizer=tokenizer)
