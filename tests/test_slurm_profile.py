"""The profile for Slurm names rules that there are."""

import re

import yaml
from conftest import ROOT

STEP = (
    r'^    "(\w+)": \(f?"\S+", "?\w+"?, "?(\w+)"?\),$'  # a rule, its script, environment and kind
)
OF_GPUS = ("train", "unlearn", "evaluate", "quantizing")


def test_the_profile_has_a_line_for_each_rule_that_needs_one() -> None:
    text = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
    common = (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")
    kinds = dict(re.findall(STEP, common, re.MULTILINE))
    profile = yaml.safe_load(text)
    commented = set(re.findall(r"^  # (\w+): \{slurm_partition", text, re.MULTILINE))
    assert {*profile["groups"], *profile["set-resources"], *commented} <= kinds.keys()
    assert {rule for rule, kind in kinds.items() if kind in OF_GPUS} == commented
    # A group asks for the sum of its rules' minutes.
    assert sum(profile["set-resources"][rule]["runtime"] for rule in profile["groups"]) < 24 * 60
