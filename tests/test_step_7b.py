"""The 7B step script, in miniature: its FLOPs by hand, and what it keeps."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.step_7b import SHAPES, main, update_flops


def test_flops_of_llama_2_7b() -> None:
    # Linear layers: 32 * (4 * 4096^2 + 3 * 4096 * 11008) + 32000 * 4096 = 6,607,077,376.
    # A token's forward pass: 2 * that + 2 * 32 * 4096 * 2048 = 13,751,025,664.
    assert update_flops(SHAPES["7b"], "full", 1, 0) == 3 * 13_751_025_664
    # Rank 16 on all linear layers: 39,976,960 parameters.
    lora = update_flops(SHAPES["7b"], "lora", 4096, 39_976_960)
    assert lora == (2 * 13_751_025_664 + 6 * 39_976_960) * 4096


@pytest.mark.parametrize(("mode", "checkpointing"), [("lora", True), ("full", False)])
def test_in_miniature(mode: Any, checkpointing: bool, tmp_path: Path) -> None:
    main("tiny", mode, 2, checkpointing, 2, tmp_path)
    found = json.loads((tmp_path / f"step_tiny_{mode}.json").read_text(encoding="utf-8"))
    assert found["tokens"] == 2 * 2 * 64
    assert found["tokens_a_second"] == pytest.approx(256 / found["seconds"])
    assert 0 < found["loss"] < 14  # NPO at beta 0.1 starts at 20 ln 2 = 13.86
