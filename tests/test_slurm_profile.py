"""The profile for Slurm names rules that there are."""

import re

import yaml
from conftest import ROOT

TEXT = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
PROFILE = yaml.safe_load(TEXT)
COMMENTED = set(re.findall(r"^  # (\w+): \{slurm_partition", TEXT, re.MULTILINE))
RULE = r"^ *(?:use rule \w+ as|rule) (\w+)(.*?)(?=^ *(?:use )?rule |\Z)"
RULES = {
    name: body
    for file in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for name, body in re.findall(RULE, file.read_text(encoding="utf-8"), re.M | re.S)
}


def test_each_rule_of_the_profile_is_one_of_the_workflow() -> None:
    assert {*PROFILE["groups"], *PROFILE["set-resources"], *COMMENTED} <= RULES.keys()


def test_each_rule_of_a_group_asks_for_little_time_since_a_group_asks_for_the_sum() -> None:
    minutes = {rule: PROFILE["set-resources"][rule]["runtime"] for rule in PROFILE["groups"]}
    assert sum(minutes.values()) < 24 * 60


def test_each_rule_that_may_ask_for_a_gpu_has_a_line() -> None:
    kinds = r"needs\((?:\"(?:train|unlearn|evaluate)\"|quantizing)"
    using = {name for name, body in RULES.items() if re.search(kinds, body)}
    assert {"finetune", "unlearn", "quantize"} <= using <= COMMENTED


def test_no_rule_has_retries_of_its_own() -> None:
    """They would be run inside the job too, in the memory of its first attempt."""
    assert not [name for name, body in RULES.items() if re.search(r"^ *retries:", body, re.M)]
