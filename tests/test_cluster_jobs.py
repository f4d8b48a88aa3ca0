"""A job on a cluster plans anew with its own rule alone, and must not find more to do."""

import shutil
from pathlib import Path

import yaml
from conftest import ROOT, Snakemake
from test_workflow import jobs


def test_asking_by_a_folder_does_not_make_retrains_scores_its_own_way(
    tiny_run: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    """Where they were made in memory: from a folder that is not there, and after deleting them."""
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, tmp_path / part)
    unkept = tmp_path / "unkept.yaml"
    # The record of the other rule's job has other parameters; here they differ by a setting.
    change = {"keep": "adapters", "evaluate": {"verbmem_tokens": 9}}
    unkept.write_text(yaml.safe_dump(change), encoding="utf-8")
    shutil.rmtree(tmp_path / "results/tiny/quantized/news/retrain/bf16")
    planned = snakemake(
        tmp_path,
        *("--configfile", str(ROOT / "config/tiny.yaml"), str(unkept)),
        *("--dry-run", "--force", "--nolock", "--mode", "remote", "--allowed-rules", "evaluate"),
        *("--target-jobs", "evaluate:corpus=news,model=target,precision=gptq4g32"),
    )
    assert planned.returncode == 0, planned.stderr[-3000:]
    assert jobs(planned.stdout) == {"evaluate": 1}
