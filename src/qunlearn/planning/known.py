"""The shapes of an experiment's models, before any of them is loaded."""

from pathlib import Path

import yaml

from qunlearn.config import Json
from qunlearn.errors import InputError
from qunlearn.files import read_json
from qunlearn.planning.shapes import ModelShape
from qunlearn.settings.models import ModelSettings
from qunlearn.sources import Source, used

RESOURCE = Path(__file__).resolve().parents[3] / "resources/shapes.yaml"


def known_shapes(config: Json, *, download: bool = True) -> dict[str, ModelShape]:
    """Corpus -> shape of its models.

    Of those that the workflow made or fetched already; else of the one that `models.shape` names;
    else of the one that they come from, of which a hub's config.json is downloaded.

    Args:
        download: whether it may be.

    Raises:
        InputError: `models.shape` is none of resources/shapes.yaml; a checkpoint cannot be read;
            or it is on the hub and may not be downloaded.
    """
    return {corpus: _shape(config, corpus, download) for corpus in config["corpora"]}


def _shape(config: Json, corpus: str, download: bool) -> ModelShape:
    models = Path("results", config["experiment"], "models", corpus)
    for name in ("target", "base"):
        if (models / name / "config.json").exists():
            return ModelShape.from_config(read_json(models / name / "config.json"))
    sources = used(config, corpus)
    first = next(iter(sources.values()))  # the base, where it is needed; else the target
    if first.kind == "made":
        return ModelShape.from_settings(ModelSettings(**config["models"]["architecture"]))
    if config["models"]["shape"] is not None:
        return _published(config["models"]["shape"])
    if first.kind == "hub" and not download:
        raise InputError(
            f"config key 'models.shape' is not set, and the shape of {first} is not known before "
            "it was downloaded; set it to a name of resources/shapes.yaml"
        )
    return _of_source(first, config)


def _published(name: str) -> ModelShape:
    shapes = yaml.safe_load(RESOURCE.read_text(encoding="utf-8"))
    if name not in shapes:
        raise InputError(
            f"config key 'models.shape': '{name}' is not in resources/shapes.yaml; "
            f"use one of: {', '.join(shapes)}, or null"
        )
    return ModelShape.from_config(shapes[name])


def _of_source(source: Source, config: Json) -> ModelShape:
    from qunlearn import given
    from qunlearn.fetching import Place

    revision = config["revisions"].get(source.value, "")
    if source.kind == "hub" and not revision:
        raise InputError(
            f"{source}: its shape is not known; set models.shape to a name of "
            "resources/shapes.yaml, or pin its commit (pin_revisions.py)"
        )
    return given.read_model(Place(source, revision)).shape
