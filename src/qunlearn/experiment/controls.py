"""The controls: models that tell *low rank* from *large step*, and test where updates are lost.

* `lora_scaled<f>`: the trained LoRA update times f. How much is its size, how much its rank?
* `lora_matched`: the LoRA update scaled to the norm of `full`'s.
* `full_matched`: `full` at the learning rate that brings its update's norm to LoRA's.
* `spare_zero_bin`: `full_bf16`, rounded but for those moved weights that the grid rounds to 0.
* `spare_other_bins`: the same, but for the moved weights in all other bins.
* `spare_unmoved`: the same, but for as many weights that never moved.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from qunlearn.quantize.method import Precision
from qunlearn.settings.fixed import Choice

CHOICES: tuple[Choice, ...] = ("zero_bin", "other_bins", "unmoved")
NEEDED = ("full", "full_bf16", "lora")
SPARE = "spare_"
SCALED = "lora_scaled"
FACTORS = (0.5, 0.75, 1.5)  # of the scaled updates
MIDRISE = "rtn3g64m"  # a grid without a zero: the main variants and the target are put on it too


def variants(config: Mapping[str, Any]) -> list[str]:
    """The control variants of each objective and seed, in the order of the tables."""
    if not config["controls"]:
        return []
    spared = [SPARE + choice for choice in CHOICES]
    scaled = [f"{SCALED}{factor:g}" for factor in FACTORS]
    return ["full_matched", *scaled, "lora_matched", *spared]


def precisions(config: Mapping[str, Any], adapter: str) -> list[str]:
    """The precisions that a variant (`none`: target or retrain) is evaluated in.

    Weights are spared on plain grids alone; the mid-rise grid is for the three main variants, and
    for the target that they are compared with.
    """
    usual: list[str] = config["precisions"]
    if adapter.startswith(SPARE):
        return ["bf16", *plain_grids(usual)]
    if config["controls"] and adapter in ("none", *NEEDED):
        return list(dict.fromkeys([*usual, MIDRISE]))
    return usual


def contradictions(config: Mapping[str, Any]) -> Iterator[str]:
    """Why the controls cannot be made: `'key': problem; remedy`."""
    if not config["controls"]:
        return
    if missing := [name for name in NEEDED if name not in config["unlearn"]["adapters"]]:
        yield f"'controls': they are made from {missing[0]} too; add it to unlearn.adapters"
    if not plain_grids(config["precisions"]):
        yield "'controls': weights are spared on a plain grid; add one, as rtn3g64, to precisions"


def plain_grids(names: list[str]) -> list[str]:
    """The `rtn` precisions of which 0 is a point."""
    parsed = [Precision.parse(name) for name in names]
    return [grid.name for grid in parsed if grid.method == "rtn" and not grid.midrise]
