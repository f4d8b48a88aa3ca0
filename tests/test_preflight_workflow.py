"""The door in the workflow: one line before anything long, no part in what runs again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Snakemake
from fake_hub import COMMIT
from safetensors.numpy import save_file
from small_corpora import SMALL, run_script
from test_workflow import jobs
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from qunlearn.corpora import layout, mini

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
LLAMA = {
    "model_type": "llama",
    "vocab_size": 10,
    "hidden_size": 96,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def configured(folder: Path, **models: object) -> tuple[str, ...]:
    """The tiny experiment with other models."""
    file = folder / "models.yaml"
    revisions = {"maker/news": COMMIT, "maker/tokens": COMMIT}
    file.write_text(yaml.safe_dump({"models": models, "revisions": revisions}), encoding="utf-8")
    return (*TINY, str(file))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder that passes for a checkpoint as long as nobody reads its weights."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    save_file({}, folder / "model.safetensors")
    words = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    words.save(str(folder / "tokenizer.json"))
    return folder


LOCAL = ("--configfile", str(ROOT / "config/muse_local.yaml"), "--config", "muse_dir=muse")
REFUSED: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "key": (("--config", "experimnt=x"), ["'experimnt'", "did you mean 'experiment'"]),
    "objective": (("--config", "unlearn={'objectives': ['npo_gdx']}"), ["npo_gdx", "npo_gdr"]),
    "precision": (("--config", "precisions=['int4']"), ["'int4'", "rtn<bits>"]),
    "nested number": (("--config", "unlearn={'settings': {'lr': -0.1}}"), ["settings.lr", "-0.1"]),
    "large seed": (("--config", "seeds=[4294967296]"), ["seeds.0", "2147483647"]),
    "place": (("--config", "experiment=.."), ["'experiment'", ".."]),
    "no folder": (("--config", "corpus={'source': 'local'}"), ["'muse_dir'"]),
    "corpus": (LOCAL, ["'muse_dir'", "raw/retain2.json", "not valid JSON", "line 1"]),
    "checkpoint": (("--config", "models={'target': 'given'}"), ["models.target", "vocabulary"]),
    "files": ((*TINY, "--configfile", "b.yaml"), ["--configfile: given twice"]),
    "words": (("--config", "seeds=[0]", "--config", "controls=true"), ["--config: given twice"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_a_user_gets_wrong_is_one_line(
    what: str, given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    """Which names it, with an exit code and without results."""
    layout.write(tmp_path / "muse/news", mini.generate("news", SMALL))
    (tmp_path / "muse/news/raw/retain2.json").write_text('["a", ')
    (tmp_path / "b.yaml").write_text("experiment: b")
    (given / "config.json").write_text(json.dumps(LLAMA | {"vocab_size": 0}))
    arguments, words = REFUSED[what]
    done = snakemake(tmp_path, *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line


def test_numbers_within_a_word_are_numbers(tmp_path: Path, snakemake: Snakemake) -> None:
    word = 'unlearn={"settings":{"epochs":3,"lr":2.0e-5}}'
    planned = snakemake(tmp_path, *TINY, "--config", word, "-n", "--printshellcmds")
    assert planned.returncode == 0, planned.stderr
    assert "--settings.epochs 3" in planned.stdout or "--epochs 3" in planned.stdout


def test_a_script_alone_says_it_in_one_line(tmp_path: Path) -> None:
    flags = ("--target", "nowhere", "--corpus", "nowhere", "--objective", "npo_gdr")
    flags += ("--adapter", "lora", "--output", "results", "--checkpoints", "checkpoints")
    done = run_script("unlearn.py", *flags, code=2, folder=tmp_path)
    assert done.stderr == "error: nowhere: no such checkpoint folder; check the path\n"
    assert not (tmp_path / "results").exists()


def test_models_are_fetched_from_where_the_configuration_says(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    arguments = configured(tmp_path, target="hub:maker/{corpus}", retrain={"news": str(given)})
    planned = snakemake(tmp_path, *arguments, "--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    found = jobs(planned.stdout)
    assert found["fetch_model"] == 1
    assert "finetune" not in found
    assert f"--source hub:maker/news --source-revision {COMMIT}" in planned.stdout
    assert "--target results/tiny/models/news/target" in planned.stdout
    assert f"quantize.py --source {given} " in planned.stdout


def test_another_tokenizer_makes_a_folder_of_its_own(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    (given / "tokenizer.json").unlink()
    models = {"target": str(given), "retrain": str(given), "tokenizer": "hub:maker/tokens"}
    planned = snakemake(tmp_path, *configured(tmp_path, **models), "-n", "--printshellcmds")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert jobs(planned.stdout)["fetch_model"] == 2
    wanted = f"--source {given} --tokenizer hub:maker/tokens --tokenizer-revision {COMMIT}"
    assert wanted in planned.stdout
    assert "quantize.py --source results/tiny/models/news/retrain " in planned.stdout


def test_what_it_finds_stops_everything_else(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    """Blocks of nf4 do not divide a width of 96: said before a target is trained."""
    target = "results/tiny/models/news/target"
    done = snakemake(tmp_path, target, *configured(tmp_path, base=str(given)))
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "error: config key" in line]
    assert (
        "(models.base of news): precision 'nf4': its blocks of 64 do not divide the 96" in lines[0]
    )
    assert not (tmp_path / "results/tiny/preflight.json").exists()
    assert not (tmp_path / target).exists()


def test_it_looks_again_at_each_start_and_makes_nothing_run_again(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    base = "results/tiny/models/news/base"
    changed = tmp_path / "changed.yaml"
    changed.write_text("evaluate: {knowmem_tokens: 5}", encoding="utf-8")
    made = snakemake(tmp_path, base, *TINY)
    assert made.returncode == 0, made.stderr
    kept = tmp_path / "results/tiny/preflight.json"
    assert json.loads(kept.read_text()) == {"warnings": []}
    kept.unlink()
    planned = snakemake(tmp_path, base, *TINY, str(changed), "--dry-run")
    assert jobs(planned.stdout) == {}
    assert not kept.exists()
    again = snakemake(tmp_path, base, *TINY, str(changed), "--force")
    assert again.returncode == 0, again.stderr
    assert kept.exists()


def test_it_is_quick_and_loads_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv[0] = 'preflight.py'; import runpy\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
        "print(*{'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    script = ROOT / "workflow/scripts/preflight.py"
    file = tmp_path / "longer.yaml"
    file.write_text("evaluate: {max_tokens: 2048, shots: 2}", encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, str(script)),
            *("--configfile", str(ROOT / "config.yaml"), str(file)),
            *("--output", str(tmp_path / "preflight.json")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
    assert "warning: evaluate.max_tokens: texts of news are cut" in done.stderr
