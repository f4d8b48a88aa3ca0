"""Which commit of each hub repository an experiment uses: `revisions` in the configuration.

It is the one place where datasets and models are pinned, so that two runs of a configuration use
the same bytes, and so that what they used can be read from it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from qunlearn import hub, sources
from qunlearn.errors import InputError
from qunlearn.huberrors import Kind


def datasets(config: Mapping[str, Any]) -> dict[str, str]:
    """Corpus -> dataset id on the hub; nothing where the corpora come from elsewhere.

    Raises:
        InputError: a corpus has no dataset, or something that is no id.
    """
    if config["corpus"]["source"] != "hub":
        return {}
    given = config["corpus"]["hub"]
    for corpus in config["corpora"]:
        if corpus not in given:
            raise InputError(
                f"config key 'corpus.hub.{corpus}' is missing; name its dataset on the hub, e.g. "
                "muse-bench/MUSE-News, or take the corpus out of corpora"
            )
        try:
            hub.check_id(given[corpus])
        except InputError as error:
            raise InputError(f"config key 'corpus.hub.{corpus}': {error}") from None
    return {corpus: given[corpus] for corpus in config["corpora"]}


def in_use(config: Mapping[str, Any]) -> dict[str, Kind]:
    """Hub id -> kind of every repository that an experiment needs.

    Raises:
        InputError: as `datasets` and `sources.hub_models` do.
    """
    used: dict[str, Kind] = dict.fromkeys(datasets(config).values(), "dataset")
    return used | dict.fromkeys(sources.hub_models(config), "model")


def check(config: Mapping[str, Any], configfiles: Iterable[Path | str]) -> None:
    """Refuse a configuration that does not say which commits it means.

    Args:
        config: a full configuration.
        configfiles: where it was read from; they are named in the advice.

    Raises:
        InputError: an id in use has no commit, or something that is no full one.
    """
    files = " ".join(map(str, configfiles)) or "config.yaml"
    advice = (
        f"python workflow/scripts/pin_revisions.py --configfile {files} --output revisions.yaml, "
        f"then --configfile {files} revisions.yaml"
    )
    for repo_id, kind in in_use(config).items():
        commit = config["revisions"].get(repo_id)
        if commit is None:
            raise InputError(
                f"config key 'revisions': the {kind} {repo_id} has no commit; pin it: {advice}"
            )
        try:
            hub.check_revision(repo_id, commit)
        except InputError as error:
            raise InputError(f"config key 'revisions': {error}; pin one: {advice}") from None


def pin(config: Mapping[str, Any]) -> dict[str, str]:
    """The commit of every repository in use: as pinned, or else the one that the hub has now.

    A branch, tag or short hash that stands in `revisions` is turned into its commit.

    Raises:
        InputError: the hub cannot be reached, refuses, or does not know what is pinned.
    """
    pinned = {}
    for repo_id, kind in in_use(config).items():
        given = config["revisions"].get(repo_id)
        known = hub.is_commit(given)
        pinned[repo_id] = given if known else hub.present_commit(repo_id, kind, given)
    return pinned


def as_yaml(pinned: Mapping[str, str], configfiles: Sequence[Path], when: str) -> str:
    """A configuration file that says nothing but what is pinned.

    Args:
        pinned: hub id -> commit.
        configfiles: the configuration whose repositories they are.
        when: the day on which the hub was asked.
    """
    files = " ".join(map(str, configfiles))
    return (
        f"# Commits of the hub's repositories that {files} names, as of {when}.\n"
        f"# Made by: python workflow/scripts/pin_revisions.py --configfile {files}\n"
        + yaml.safe_dump({"revisions": dict(pinned)}, sort_keys=False)
    )
