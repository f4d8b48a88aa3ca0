"""The experiments in config/: each is valid, and paper.yaml has the paper's settings; profiles."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from small_corpora import run_script
from small_fuzz import CHECKPOINT, LLAMA, as_bytes, write_tree
from small_workflow import jobs

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import runs, unlearn_settings

PRESETS = [
    ("tiny.yaml",),
    ("paper.yaml",),
    ("paper.yaml", "paper_grid.yaml"),
    ("smollm2.yaml",),
    ("smollm2.yaml", "smollm2_cpu.yaml"),
    ("muse_local.yaml",),
    ("reproducibility.yaml",),
    *(("window.yaml", f"window_{rate}.yaml") for rate in ("half", "once", "twice")),
    ("map.yaml",),
    ("audit.yaml",),
]
WIDE = {"hidden_size": 256, "intermediate_size": 256, "max_position_embeddings": 4096}
STAND_IN = CHECKPOINT | {"config.json": as_bytes(LLAMA | WIDE)}


def preset(tmp_path: Path, *names: str) -> dict[str, Any]:
    """A preset's full configuration, with a MUSE folder where it takes one."""
    given = tmp_path / "given.yaml"
    given.write_text(f"muse_dir: {tmp_path}", encoding="utf-8")
    below = [ROOT / "config.yaml"] if names[0] in ("window.yaml", "map.yaml") else []
    return configfiles.read([*below, *(ROOT / "config" / name for name in names), given])


@pytest.mark.parametrize("names", PRESETS)
def test_every_preset_is_valid(names: tuple[str, ...], tmp_path: Path) -> None:
    """What has a counterpart is evaluated as the benchmark does, and so is SmolLM2."""
    config = preset(tmp_path, *names)
    assert config["experiment"] == Path(names[-1]).stem  # a folder of its own
    assert bool(runs(config)) == (names != ("audit.yaml",))
    as_muse = names[0] in ("paper.yaml", "smollm2.yaml")
    assert config["evaluate"]["prompt"] == ("muse" if as_muse else "plain")


LORA = {
    "books/ga_gdr": (16, 16),
    "books/ga_klr": (16, 16),
    "books/npo_gdr": (64, 128),
    "books/npo_klr": (16, 32),
    "news/ga_gdr": (64, 64),
    "news/ga_klr": (64, 64),
    "news/npo_gdr": (16, 16),
    "news/npo_klr": (64, 128),
}


def test_the_paper_s_cells(tmp_path: Path) -> None:
    """Rank and alpha of the tabled cells; and of full fine-tuning, which bf16 weights share."""
    config = preset(tmp_path, "paper.yaml")

    def own(cell: str, adapter: str) -> dict[str, Any]:
        return unlearn_settings(config, f"{cell}/{adapter}")

    found = {cell: own(cell, "lora") for cell in LORA}
    assert {cell: (x["rank"], x["lora_alpha"]) for cell, x in found.items()} == LORA
    headline = found["books/npo_gdr"]
    assert (headline["lr"], headline["alpha"], headline["epochs"]) == (7e-4, 1.0, 5)
    for objective, alpha in (("ga_gdr", 100), ("ga_klr", 100), ("npo_gdr", 0.1), ("npo_klr", 0.1)):
        full = own(f"news/{objective}", "full")
        shared = ("lr", "batch_size", "max_tokens", "chunking", "beta", "gamma", "stop_nll")
        assert [full[key] for key in shared] == [1e-5, 16, 2048, "stream", 0.1, 1, 0]
        assert full["alpha"] == alpha
        assert own(f"news/{objective}", "full_bf16") == full | {"optimizer": "adamw"}


def test_the_whole_paper_is_planned_over_stand_ins(tmp_path: Path, snakemake: Snakemake) -> None:
    for corpus in ("news", "books"):
        run_script("make_corpus.py", "--name", corpus, "--output", tmp_path / corpus, "mini")
        for name in ("target", "retrain"):
            write_tree(tmp_path / f"{corpus}_{name}", STAND_IN)
    stand_ins = {
        "muse_dir": str(tmp_path),
        "corpus": {"source": "local"},
        "evaluate": {"shots": 2},  # of the generated corpora
        "models": {name: f"{tmp_path}/{{corpus}}_{name}" for name in ("target", "retrain")}
        | {"tokenizer": None},
    }
    file = tmp_path / "stand_ins.yaml"
    file.write_text(yaml.safe_dump(stand_ins), encoding="utf-8")

    def planned(*names: str) -> dict[str, int]:
        files = [str(ROOT / f"config/{name}.yaml") for name in names]
        done = snakemake(tmp_path, "--dry-run", "--configfile", *files, str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        return jobs(done.stdout)

    found = planned("paper")
    # 2 corpora x (4 objectives x 2 variants + target + retrain); 5 precisions each.
    expected = {"corpus": 2, "unlearn": 16, "quantize": 100, "evaluate": 100, "survival": 16}
    assert {name: found.get(name) for name in expected} == expected
    assert "finetune" not in found
    assert planned("paper", "paper_grid")["sweep"] == 8 * 54


def test_the_profile_names_rules_that_there_are() -> None:
    text = (ROOT / "profiles/slurm/config.yaml").read_text(encoding="utf-8")
    files = [file.read_text(encoding="utf-8") for file in (ROOT / "workflow/rules").glob("*.smk")]
    rules = re.findall(r"rule (?:\w+ as )?(\w+)", "\n".join(files))
    profile = yaml.safe_load(text)
    commented = re.findall(r"^  # (\w+): \{slurm_partition", text, re.MULTILINE)
    assert {*profile["groups"], *profile["set-resources"], *commented} <= set(rules)
    assert {"finetune", "unlearn", "evaluate", "quantize"} <= set(commented)  # jobs of GPUs
    # A group asks for the sum of its rules' minutes.
    assert sum(profile["set-resources"][rule]["runtime"] for rule in profile["groups"]) < 24 * 60
