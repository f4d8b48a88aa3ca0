"""The tiny experiment with changes."""

import copy
from collections.abc import Mapping
from typing import Any

import yaml
from conftest import ROOT

Json = dict[str, Any]
TINY: Json = yaml.safe_load((ROOT / "config/tiny.yaml").read_text(encoding="utf-8"))


def over(below: Any, above: Any) -> Any:
    """`below` with the values of `above`, section by section."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: over(below.get(key), value) for key, value in above.items()}


def tiny(changes: Mapping[str, Any]) -> Json:
    """The tiny experiment with changes."""
    return over(copy.deepcopy(TINY), dict(changes))
