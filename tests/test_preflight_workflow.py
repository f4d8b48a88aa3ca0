"""The configuration and the door in the workflow: what is read, and one line before any job."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Snakemake
from fake_hub import COMMIT
from small_corpora import SMALL
from small_fuzz import CHECKPOINT, LLAMA, as_bytes, write_tree
from small_workflow import TINY, jobs

from qunlearn.corpora import layout, mini

OWN = {
    "experiment": "own",
    "corpora": ["news"],
    "unlearn": {"objectives": ["npo_gdr"], "adapters": ["lora"], "settings": {"lr": 1e-6}},
    "precisions": ["bf16"],
    "evaluate": {"shots": 2},
}


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder that passes for a checkpoint as long as nobody reads its weights."""
    narrow = as_bytes(LLAMA | {"hidden_size": 96, "intermediate_size": 96})
    write_tree(tmp_path / "given", CHECKPOINT | {"config.json": narrow})
    return tmp_path / "given"


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(OWN), encoding="utf-8")
    return "own.yaml"


def flags(report: str, script: str) -> dict[str, str]:
    """The flags of the last job of a script in a dry run that prints shell commands."""
    lines = [line for line in report.splitlines() if f"run {script} " in line]
    words = shlex.split(lines[-1])
    return {word: value for word, value in pairwise(words) if word.startswith("--")}


LOCAL = ("--configfile", str(ROOT / "config/muse_local.yaml"), "--config", "muse_dir=muse")
REFUSED: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "key": (("--config", "experimnt=x"), ["'experimnt'", "did you mean 'experiment'"]),
    "command": (("--config", "experiment=$(touch marker)"), ["'experiment'"]),
    "corpus": (LOCAL, ["'muse_dir'", "raw/retain2.json", "not valid JSON", "line 1"]),
    "checkpoint": (("--config", "models={'target': 'given'}"), ["models.target", "vocab_size"]),
    "files": ((*TINY, "--configfile", "b.yaml"), ["--configfile: given twice"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_user_gets_wrong_is_one_line(
    what: str, given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    """Which names it, with an exit code and without results."""
    layout.write(tmp_path / "muse/news", mini.generate("news", SMALL))
    (tmp_path / "muse/news/raw/retain2.json").write_text('["a", ')
    (tmp_path / "b.yaml").write_text("experiment: b")
    (given / "config.json").write_bytes(as_bytes(LLAMA | {"vocab_size": 0}))
    arguments, words = REFUSED[what]
    done = snakemake(tmp_path, *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists() and not (tmp_path / "marker").exists()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line


def configured(folder: Path, **models: object) -> tuple[str, ...]:
    """The tiny experiment with other models."""
    file = folder / "models.yaml"
    revisions = {"maker/news": COMMIT, "maker/tokens": COMMIT}
    file.write_text(yaml.safe_dump({"models": models, "revisions": revisions}), encoding="utf-8")
    return (*TINY, str(file))


def test_models_and_tokenizers_are_fetched_from_where_the_configuration_says(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    def planned(**models: object) -> str:
        arguments = configured(tmp_path, retrain={"news": str(given)}, **models)
        done = snakemake(tmp_path, *arguments, "--dry-run", "--printshellcmds")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "finetune" not in jobs(done.stdout)
        return done.stdout

    found = planned(target="hub:maker/{corpus}")
    assert jobs(found)["fetch_model"] == 1
    assert f"--source hub:maker/news --source-revision {COMMIT}" in found
    assert "--target results/tiny/models/news/target" in found
    assert re.search(rf"run quantize\.py .*--source {given} ", found)
    (given / "tokenizer.json").unlink()
    found = planned(target=str(given), tokenizer="hub:maker/tokens")
    assert jobs(found)["fetch_model"] == 2  # each in a folder of its own
    assert f"--source {given} --tokenizer hub:maker/tokens --tokenizer-revision {COMMIT}" in found
    assert "--source results/tiny/models/news/retrain " in found


def test_what_it_finds_stops_everything_else(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    """Blocks of nf4 do not divide a width of 96: said before a target is trained."""
    target = "results/tiny/models/news/target"
    done = snakemake(tmp_path, target, *configured(tmp_path, base=str(given)))
    assert done.returncode != 0
    (line, *_) = [line for line in done.stderr.splitlines() if "error: config key" in line]
    assert "(models.base of news): precision 'nf4': group 64 does not divide the 96" in line
    assert not (tmp_path / "results/tiny/preflight.json").exists()
    assert not (tmp_path / target).exists()
