"""The file of claims: what it must hold, and the messages where it does not."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

from qunlearn.analysis.claims import KINDS, read_claims
from qunlearn.run.errors import InputError

ENTRY = {
    "id": "level", "statement": "It is.", "source": "a test", "kind": "level",
    "metrics": ["utility"], "variant": "lora", "against": "full", "scopes": ["four_bit"],
    "supported": "Yes.", "contradicted": "No.",
}  # fmt: skip


def claims(**changes: Any) -> str:
    """A file of one claim; a change to None leaves the field out."""
    entry = {field: value for field, value in {**ENTRY, **changes}.items() if value is not None}
    return yaml.safe_dump({"claims": [entry]})


def test_the_projects_claims_use_every_kind() -> None:
    found = read_claims(ROOT / "resources/claims.yaml")
    assert {claim.kind for claim in found} == set(KINDS)
    assert {(claim.of.reversion, claim.threshold) for claim in found} == {(False, 0), (True, 0.1)}
    assert {claim.variant for claim in found} >= {"lora", "full", "full_bf16", "lora_matched"}
    assert all(claim.statement.endswith(".") for claim in found)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("claims: [", "not valid YAML"),
        ("- a\n", "write a list under the key 'claims'"),
        ("claims: 3\n", "write a list under the key 'claims'"),
        ("claims: [3]\n", "claim '': kind None is unknown"),
        (claims() + claims().removeprefix("claims:\n"), "claim 'level' occurs twice"),
        (claims(kind="better"), "claim 'level': kind 'better' is unknown; use level"),
        (claims(metrics=["rouge"]), r"metrics: \['rouge'\] does not suit kind level; list some of"),
        (claims(metrics=["reversion_verbmem"]), "does not suit kind level"),
        (claims(kind="more"), r"\['utility'\] does not suit kind more; list some of reversion_"),
        (claims(scopes=["eight_bit"]), "scopes: .* does not suit kind level; list some of four_b"),
        (claims(metrics="utility"), "metrics: 'utility' does not suit"),
        (claims(scopes=[]), r"scopes: \[\] does not suit"),
        (claims(kind="kept"), "against does not suit kind kept; remove it"),
        (claims(note="x"), "note does not suit kind level; remove it"),
        (claims(source=None), "claim 'level': source is missing"),
        (claims(id=None), "claim '': id is missing"),
    ],
)
def test_a_claim_that_cannot_be_judged_is_refused(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=complaint):
        read_claims(path)
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        read_claims(tmp_path / "nowhere.yaml")
