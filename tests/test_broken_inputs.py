"""Broken corpora and checkpoints: refused in one line before any job, whatever is wrong;
and so in the workflow."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import small_fuzz as fuzz
import small_workflow
from conftest import ROOT, Snakemake
from fake_hub import COMMIT
from small_corpora import SMALL, whole_corpus
from small_workflow import changed, jobs

from qunlearn import preflight
from qunlearn.corpora import layout, mini
from qunlearn.experiment.config import resolve
from qunlearn.experiment.inputs import check_given

TEXT, CARD = "raw/retain1.json", "knowmem/forget_qa.json"
A_CARD = {"question": "q", "answer": "a"}
NO_TEXTS = [None, 1, True, [], {}, "half \ud800"]
BAD_CORPORA: list[tuple[str, Any]] = [
    *((name, "missing") for name in layout.FILES if name != layout.PRETRAIN),
    *((TEXT, kind) for kind in fuzz.NO_FILES),
    *((".", kind) for kind in fuzz.NO_FILES if kind != "folder"),
    *((TEXT, content) for content in (*fuzz.NO_JSON, b"[]", {"items": ["a"]}, b"\xef\xbb\xbf[]")),
    *((TEXT, ["a", value]) for value in NO_TEXTS),
    (TEXT, ["", " \t\u2003\n"]),
    ("privleak/holdout.json", ["a", "\u00a0"]),
    (CARD, [A_CARD, "a"]),
    (CARD, [A_CARD, {"answer": "a"}]),
    *((CARD, [A_CARD, A_CARD | {"question": value}]) for value in [*NO_TEXTS, " "]),
    ("verbmem/forget.json", [{"prompt": "p", "gt": ""}]),
]
INDEX = "model.safetensors.index.json"
BAD_VALUES: dict[str, list[Any]] = {
    "hidden_size": [None, "64", [], 0, -64, 1.5, float("nan"), True, 10**30],
    "vocab_size": [None, "x", 0],
    "model_type": ["gpt2", None, []],
    "architectures": [3, ["BertModel"], {"a": 1}],
    "head_dim": [-1, "x"],
    "quantization_config": [{}, None],
    "auto_map": [{"AutoModelForCausalLM": "model.Evil"}, {}],
}
BAD_VOCABULARIES = [{"a": "x"}, {"a": 400}, {"a": -1}, {"a": 1.5}, {"a": 2**70}, 3, None]
BAD_CHECKPOINTS: list[tuple[str, Any]] = [
    *((name, kind) for name in fuzz.CHECKPOINT for kind in fuzz.NO_FILES),
    *((".", kind) for kind in fuzz.NO_FILES),
    *((name, content) for name in ("config.json", "tokenizer.json") for content in fuzz.NO_JSON),
    *(
        ("config.json", fuzz.LLAMA | {k: value})
        for k, values in BAD_VALUES.items()
        for value in values
    ),
    *(("tokenizer.json", fuzz.TOKENIZER | {"model": {"vocab": v}}) for v in BAD_VOCABULARIES),
    *(
        ("tokenizer.json", fuzz.TOKENIZER | {"added_tokens": v})
        for v in ([1], [{}], 3, [{"id": 999}])
    ),
    ("special_tokens_map.json", b'{"eos_token":'),
    # Headers of safetensors that claim too much, are nested too deep, or are not alone
    *(("model.safetensors", size.to_bytes(8, "little") + b"{}") for size in (2**63, 2**40, 100)),
    ("model.safetensors", (2).to_bytes(8, "little") + b"[]"),
    ("model.safetensors", (10**5).to_bytes(8, "little") + b"[" * 10**5),
    ("model.safetensors", (2).to_bytes(8, "little") + b"{}more"),
    *((INDEX, {"weight_map": value}) for value in (3, [], None, {})),
    *((INDEX, {"weight_map": {"w": shard}}) for shard in ("absent", "", ".", "a\0b", 3, None, {})),
    *((INDEX, {"weight_map": {"w": shard}}) for shard in ("../x.safetensors", "x" * 300)),
]


@pytest.mark.parametrize(("file", "what"), BAD_CORPORA, ids=lambda value: repr(value)[:40])
def test_a_broken_corpus_is_refused_in_one_line(file: str, what: Any, here: Path) -> None:
    whole_corpus(here / "news")
    fuzz.spoil(here / "news" / file, what)
    with fuzz.nothing_new(here):
        local = {"corpus": {"source": "local"}, "muse_dir": "."}
        fuzz.complaint(lambda: look(**local), "muse_dir", file.removeprefix("."))


def look(**changes: Any) -> None:
    """What happens before the first job."""
    full = resolve(small_workflow.tiny({"precisions": ["bf16"], **changes}))
    check_given(full)
    list(preflight.check_texts(full, Path("results")))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a good checkpoint."""
    monkeypatch.chdir(tmp_path)
    fuzz.write_tree(tmp_path / "given", fuzz.CHECKPOINT)
    return tmp_path


@pytest.mark.parametrize(("name", "what"), BAD_CHECKPOINTS, ids=lambda value: repr(value)[:40])
def test_a_broken_checkpoint_is_refused_in_one_line(name: str, what: Any, here: Path) -> None:
    models = {"target": "given", "retrain": "given"}
    look(models=models)
    if name == INDEX:
        (here / "given/model.safetensors").unlink()
    fuzz.spoil(here / "given" / name, what)
    with fuzz.nothing_new(here):
        fuzz.complaint(lambda: look(models=models), "models.", "given")


PATHS = ("x" * 300, "x/" * 3000, "/dev/null", "__main__/x", "os/x", "sys/", ".", "/", "-x")


@pytest.mark.parametrize("key", ["base", "target", "retrain", "tokenizer", "muse_dir"])
@pytest.mark.parametrize("kind", ["", "gguf:"])
def test_paths_to_nothing(key: str, kind: str, here: Path) -> None:
    for name in (*PATHS, *fuzz.NO_FILES):
        if name in fuzz.NO_FILES:
            fuzz.NO_FILES[name](here / name)
        changes: dict[str, Any] = {"corpus": {"source": "local"}, key: kind + name}
        if key != "muse_dir":
            changes = {"models": {"base": "given", "retrain": "given", key: kind + name}}
        with fuzz.nothing_new(here):
            fuzz.complaint(partial(look, **changes), key)


# --- In the workflow -------------------------------------------------------------------------


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder that passes for a checkpoint as long as nobody reads its weights."""
    narrow = fuzz.as_bytes(fuzz.LLAMA | {"hidden_size": 96, "intermediate_size": 96})
    fuzz.write_tree(tmp_path / "given", fuzz.CHECKPOINT | {"config.json": narrow})
    return tmp_path / "given"


MUSE = ("--configfile", str(ROOT / "config/muse_local.yaml"), "--config", "muse_dir=muse")
REFUSED: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "key": (("--config", "experimnt=x"), ["'experimnt'", "did you mean 'experiment'"]),
    "command": (("--config", "experiment=$(touch marker)"), ["'experiment'"]),
    "corpus": (MUSE, ["'muse_dir'", "raw/retain2.json", "not valid JSON", "line 1"]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_mistake_of_the_user_is_one_line(what: str, tmp_path: Path, snakemake: Snakemake) -> None:
    """Which names it, with an exit code and without results."""
    layout.write(tmp_path / "muse/news", mini.generate("news", SMALL))
    (tmp_path / "muse/news/raw/retain2.json").write_text('["a", ')
    arguments, words = REFUSED[what]
    done = snakemake(tmp_path, *arguments)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists() and not (tmp_path / "marker").exists()
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert all(word in line for word in words), line


def configured(folder: Path, **models: object) -> tuple[str, ...]:
    """The tiny experiment with other models."""
    revisions = {"maker/news": COMMIT, "maker/tokens": COMMIT}
    return changed(folder, {"models": models, "revisions": revisions})


def test_models_and_tokens_are_fetched(given: Path, tmp_path: Path, snakemake: Snakemake) -> None:
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


def test_what_it_finds_stops_all_else(given: Path, tmp_path: Path, snakemake: Snakemake) -> None:
    """Blocks of nf4 do not divide a width of 96: said before a target is trained."""
    target = "results/tiny/models/news/target"
    done = snakemake(tmp_path, target, *configured(tmp_path, base=str(given)))
    assert done.returncode != 0
    (line, *_) = [line for line in done.stderr.splitlines() if "error: config key" in line]
    assert "(models.base of news): precision 'nf4': group 64 does not divide the 96" in line
    assert not (tmp_path / "results/tiny/preflight.json").exists()
    assert not (tmp_path / target).exists()
