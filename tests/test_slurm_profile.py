"""The profile for Slurm names rules that there are."""

import re

import yaml
from conftest import ROOT

TEXT = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
RULES = {
    name: body
    for file in (ROOT / "workflow/rules").glob("*.smk")
    for name, body in re.findall(
        r"^ *(?:use rule \w+ as|rule) (\w+)(.*?)(?=^ *(?:use )?rule |\Z)",
        file.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}


def test_the_profile_has_a_line_for_each_rule_that_needs_one() -> None:
    profile = yaml.safe_load(TEXT)
    commented = set(re.findall(r"^  # (\w+): \{slurm_partition", TEXT, re.MULTILINE))
    assert {*profile["groups"], *profile["set-resources"], *commented} <= RULES.keys()
    # A group asks for the sum of its rules' minutes.
    assert sum(profile["set-resources"][rule]["runtime"] for rule in profile["groups"]) < 24 * 60
    kinds = r"needs\((?:\"(?:train|unlearn|evaluate)\"|quantizing)"
    on_gpu = {name for name, body in RULES.items() if re.search(kinds, body)}
    assert {"finetune", "unlearn", "quantize"} <= on_gpu <= commented


def test_no_rule_has_retries_of_its_own() -> None:
    """They would be run inside the job too, in the memory of its first attempt."""
    assert not [name for name, body in RULES.items() if re.search(r"^ *retries:", body, re.M)]
