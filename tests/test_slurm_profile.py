"""The profile for Slurm names rules that there are."""

import re

import yaml
from conftest import ROOT
from pinned import STEPS

TEXT = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
PROFILE = yaml.safe_load(TEXT)
COMMENTED = set(re.findall(r"^  # (\w+): \{slurm_partition", TEXT, re.MULTILINE))
KINDS = {rule: kind for rule, _, _, kind in STEPS}


def test_each_rule_of_the_profile_is_one_of_the_workflow() -> None:
    assert {*PROFILE["groups"], *PROFILE["set-resources"], *COMMENTED} <= KINDS.keys()


def test_each_rule_of_a_group_asks_for_little_time_since_a_group_asks_for_the_sum() -> None:
    minutes = {rule: PROFILE["set-resources"][rule]["runtime"] for rule in PROFILE["groups"]}
    assert sum(minutes.values()) < 24 * 60


def test_each_rule_that_may_ask_for_a_gpu_has_a_line() -> None:
    of_gpus = ("train", "unlearn", "evaluate", "quantizing")
    assert {rule for rule, kind in KINDS.items() if kind in of_gpus} == COMMENTED
