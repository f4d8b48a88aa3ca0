"""The file of claims: what it must say, and what a user is told when it does not."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from qunlearn.analysis.claims import KINDS, read_claims
from qunlearn.run.errors import InputError

CLAIMS = Path(__file__).parents[1] / "resources/claims.yaml"
ENTRY = {
    "id": "level", "statement": "It is.", "source": "a test", "kind": "level",
    "metrics": ["utility"], "variant": "lora", "against": "full", "scopes": ["four_bit"],
    "supported": "Yes.", "contradicted": "No.",
}  # fmt: skip


def write(folder: Path, *entries: Any, margin: Any = 0.1) -> Path:
    path = folder / "claims.yaml"
    path.write_text(yaml.safe_dump({"margin": margin, "claims": list(entries)}))
    return path


def test_the_projects_claims_use_every_kind() -> None:
    claims = read_claims(CLAIMS)

    assert {claim.kind for claim in claims} == set(KINDS)
    assert {claim.threshold for claim in claims} == {0.0, 0.1}
    assert {claim.variant for claim in claims} >= {"lora", "full", "full_bf16", "lora_matched"}
    assert all(claim.statement.endswith(".") for claim in claims)


def test_only_reversion_has_a_margin(tmp_path: Path) -> None:
    kept = {**ENTRY, "id": "kept", "kind": "kept", "metrics": ["reversion_verbmem"]}
    del kept["against"]
    level, reversion = read_claims(write(tmp_path, ENTRY, kept, margin=0.2))

    assert (level.threshold, level.against) == (0.0, "full")
    assert (reversion.threshold, reversion.against) == (0.2, "")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"kind": "better"}, "claim 'level': kind 'better' is unknown; use level"),
        ({"metrics": ["rouge"]}, "claim 'level': metrics: 'rouge' does not suit kind level"),
        ({"metrics": ["reversion_verbmem"]}, "'reversion_verbmem' does not suit kind level"),
        ({"kind": "more"}, "metrics: 'utility' does not suit kind more; use reversion_verbmem"),
        ({"scopes": ["eight_bit"]}, "scopes: 'eight_bit' does not suit kind level; use four_bit"),
        ({"kind": "kept"}, "claim 'level': against is of no use to kind kept"),
        ({"note": "x"}, "claim 'level': note is of no use to kind level"),
        ({"source": None}, "claim 'level': source is missing"),
        ({"metrics": "utility"}, "claim 'level': metrics: write a list"),
        ({"id": None}, "a claim has no id"),
    ],
)
def test_a_claim_that_nobody_can_judge(
    tmp_path: Path, changes: dict[str, Any], complaint: str
) -> None:
    entry = {field: value for field, value in {**ENTRY, **changes}.items() if value is not None}

    with pytest.raises(InputError, match=complaint):
        read_claims(write(tmp_path, entry))


@pytest.mark.parametrize("margin", [0, 1.5, "little", None])
def test_a_margin_is_a_share(tmp_path: Path, margin: Any) -> None:
    with pytest.raises(InputError, match=r"margin: .* is no share between 0 and 1"):
        read_claims(write(tmp_path, ENTRY, margin=margin))


def test_an_id_stands_once(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="claim 'level' is there twice"):
        read_claims(write(tmp_path, ENTRY, ENTRY))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [("claims: [", "not valid YAML"), ("- a\n", "write a list"), ("claims: 3\n", "write a list")],
)
def test_a_file_that_is_none(tmp_path: Path, text: str, complaint: str) -> None:
    path = tmp_path / "claims.yaml"
    path.write_text(text)

    with pytest.raises(InputError, match=complaint):
        read_claims(path)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.yaml: no such file"):
        read_claims(tmp_path / "nowhere.yaml")
