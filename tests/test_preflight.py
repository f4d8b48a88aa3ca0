"""The door: what would fail hours later is one line before the first job."""

import json
import shutil
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import small_workflow
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from safetensors.numpy import save_file
from small_corpora import SMALL
from small_fuzz import LLAMA
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from qunlearn import preflight
from qunlearn.corpora import layout, mini
from qunlearn.experiment import config, inputs
from qunlearn.models.scratch import train_tokenizer
from qunlearn.plan import Job
from qunlearn.run import hardware
from qunlearn.run.errors import InputError
from qunlearn.settings.models import ModelSettings

SIZES = {"hidden_size": 128, "intermediate_size": 192, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 4, "max_position_embeddings": 512}
MODELS = {"target": "target", "retrain": "retrain"}
SHORT = {"max_tokens": 256, "shots": 2, "verbmem_tokens": 40, "knowmem_tokens": 40}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus and three checkpoints with one tokenizer; of their weights only the header."""
    folder = tmp_path_factory.mktemp("whole")
    corpus = mini.generate("news", SMALL)
    layout.write(folder / "corpora/news", corpus)
    shape = ModelSettings(vocabulary=320, hidden=32, mlp=32, layers=1, heads=1)
    tokenizer = train_tokenizer(corpus.raw["pretrain"], shape)
    for name in ("base", "target", "retrain"):
        tokenizer.save_pretrained(folder / name)
        (folder / name / "config.json").write_text(json.dumps(LLAMA | SIZES))
        save_file({}, folder / name / "model.safetensors")
    return folder


@pytest.fixture
def given(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: [])
    return tmp_path


def door(changes: dict[str, Any], **how: Any) -> list[str]:
    """The warnings."""
    values: dict[str, Any] = {
        "corpora": ["news"],
        "corpus": {"source": "local"},
        "muse_dir": "corpora",
        "precisions": ["bf16", "nf4", "rtn4"],
        "models": MODELS,
        "evaluate": SHORT,
    }
    full = config.resolve(small_workflow.over(values, changes))
    inputs.check_given(full)
    return preflight.preflight(full, Path("results"), **{"cluster": False, **how})[0]


def edit(name: str, **changes: Any) -> Callable[[], None]:
    """Other values in a JSON file, which need not be there."""

    def change() -> None:
        file = Path(name)
        content = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(content | changes))

    return change


def pad_added() -> None:
    edit("target/tokenizer_config.json", pad_token="[PAD]")()
    edit("target/special_tokens_map.json", pad_token="[PAD]")()


def other_words() -> None:
    """A tokenizer with two ids exchanged."""
    content = json.loads(Path("retrain/tokenizer.json").read_text())
    vocabulary = content["model"]["vocab"]
    one, two = list(vocabulary)[-2:]
    vocabulary[one], vocabulary[two] = vocabulary[two], vocabulary[one]
    Path("retrain/tokenizer.json").write_text(json.dumps(content))


def begin_otherwise() -> None:
    """A tokenizer that lays a token before each text."""
    tokenizer = Tokenizer.from_file("retrain/tokenizer.json")
    beginning = [("<s>", 5)]
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=beginning)
    tokenizer.save("retrain/tokenizer.json")


GPTQ = {"precisions": ["bf16", "gptq4g32"]}
SCRATCH = {"models": {"base": "scratch", "target": "train", "retrain": "train"}}
GENERATED = {**SCRATCH, "corpus": {"source": "mini"}}
REFUSED: dict[str, dict[str, Any]] = {
    "'corpus.mini' .poems.: .*choose one of": {**GENERATED, "corpora": ["poems"]},
    "'evaluate.shots' .news.: knowmem/forget_qa_icl.json has 2": {"evaluate": {"shots": 10}},
    "'evaluate.shots' .news.: .* shots is 3": {**GENERATED, "evaluate": {"shots": 3}},
    "'precisions' .models.target of news.: .*group 128": {"precisions": ["bf16", "gptq4"]},
    "'evaluate.verbmem_tokens': 513": {"evaluate": {"verbmem_tokens": 512}},
    "'quantization.calibration.length': 600": {
        **GPTQ,
        "quantization": {"calibration": {"length": 600}},
    },
    "'quantization.calibration' .news.: raw/retain1.json: .* make .* windows of 128, not": {
        **GPTQ,
        "quantization": {"calibration": {"sequences": 128, "length": 128}},
    },
    "'unlearn.settings.max_tokens': 513 tokens are more than the context .*, 512": {
        "unlearn": {"overrides": {"*/*/lora": {"max_tokens": 513}}}
    },
}
OTHER = "have different tokenizers, so that scores .*set models.tokenizer"
DAMAGED: list[tuple[Callable[[], object], dict[str, Any], str]] = [
    (edit("target/config.json", model_type="gpt2"), {}, "'models.target' .target.: models of type"),
    (edit("target/config.json", hidden_size=64), {}, "target' and 'models.*hidden=64.*hidden=128"),
    (edit("target/config.json", intermediate_size=160), {"models": {"retrain": "target"}}, "'nf4'"),
    (edit("target/tokenizer.json", pre_tokenizer={"type": "X"}), {}, "tokenizer cannot be read"),
    (pad_added, {}, "'models.target' .target.: the tokenizer's token '.PAD.' has the id 320"),
    (other_words, {}, OTHER),
    (other_words, {"models": {"base": "retrain", "retrain": "train"}}, OTHER),
    (begin_otherwise, {}, OTHER),
]


@pytest.mark.parametrize("words", REFUSED)
def test_what_would_fail_later_is_refused(words: str, given: Path) -> None:
    with pytest.raises(InputError, match=words):
        door(REFUSED[words])


@pytest.mark.parametrize(("damage", "changes", "words"), DAMAGED)
def test_what_is_damaged_or_does_not_fit_is_refused(
    damage: Callable[[], object], changes: dict[str, Any], words: str, given: Path
) -> None:
    damage()
    with pytest.raises(InputError, match=words):
        door(changes)


FINE: list[tuple[Callable[[], object], dict[str, Any]]] = [
    (list, {**GPTQ, "quantization": {"calibration": {"sequences": 2, "length": 32}}}),
    (edit("target/config.json", max_position_embeddings=1024), {}),
    (edit("retrain/tokenizer_config.json", pad_token=None), {}),
    (other_words, {"models": {**MODELS, "tokenizer": "target"}}),
]


@pytest.mark.parametrize(("damage", "changes"), FINE)
def test_what_does_pass(damage: Callable[[], object], changes: dict[str, Any], given: Path) -> None:
    damage()
    assert door(changes) == []


WARNED: dict[str, dict[str, Any]] = {
    "evaluate.max_tokens: texts of news are cut": {"evaluate": {"max_tokens": 2048}},
    "news: KnowMem: ": {"evaluate": {"knowmem_tokens": 1}},
    "models of news: target's tokenizer and retrain's can be compared only later": {
        "models": {"base": "scratch", "retrain": "train"}
    },
    "evaluate.verbmem_tokens: evaluation of news goes beyond the rows of 64 tokens": {
        **GENERATED,
        "train": {"target": {"max_tokens": 64}},
        "evaluate": {"shots": 0, "verbmem_tokens": 100, "knowmem_tokens": 8},
        "quantization": {"calibration": {"sequences": 1}},
    },
}


@pytest.mark.parametrize("words", WARNED)
def test_what_may_mislead_is_a_warning(words: str, given: Path) -> None:
    assert door(WARNED[words])[0].startswith(words)


def test_jobs_on_another_python(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It reads the tokenizers, and says itself whether it can run jobs."""
    monkeypatch.setattr(preflight, "check_texts", None)
    python = f"{Path(sys.executable).parent}/./python"
    assert door({"evaluate": {"knowmem_tokens": 1}}, python=python)[0].startswith("news: Kn")
    other_words()
    with pytest.raises(InputError, match="have different tokenizers"):
        door({}, python=python)
    venv.create(given / "empty")
    for broken in (given / "empty/bin/python", given / "missing"):
        with pytest.raises(InputError, match=rf"config key 'python': {broken} .*make setup"):
            door({}, python=str(broken))


GB = 10**9


@pytest.fixture
def capacity(given: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.setattr(hardware, "host_bytes", lambda: 8 * GB)
    monkeypatch.setattr(preflight, "disk_usage", lambda path: SimpleNamespace(free=5 * GB))

    def run(*, cluster: bool = False, uses: int = 0, **sizes: float) -> list[str]:
        needs = {name: int(size * GB) for name, size in sizes.items()}
        jobs = [Job("unlearn", "unlearn full", 1, **{"host": 0, **needs})]
        monkeypatch.setattr(preflight, "estimate", lambda config, shapes: jobs)
        return door({"resources": {"unlearn": {"gpu": uses}}}, cluster=cluster)

    return run


def test_memory_disk_and_gpu_must_do(
    given: Path, capacity: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert capacity(host=8, disk=5) == []
    (given / "results").mkdir()
    (given / "results/file").write_bytes(b"x" * 1000)
    assert capacity(disk=5.000001) == []  # what is there already needs no room
    warned = capacity(cluster=True, uses=1, host=8.1)
    assert ["GPU" in warned[0], "host memory" in warned[1]] == [True, True]
    for gpus, sizes, words in (
        ([], {"host": 8.1}, r"unlearn full: 8\.1 GB of host memory .* has 8\.0 GB"),
        ([], {"disk": 4, "scratch": 2}, r"results: another 6\.0 GB are needed, and 5\.0 GB"),
        ([], {"disk": 5.0000011}, "GB are needed"),
        ([], {"uses": 1}, r"'resources\.unlearn\.gpu': no NVIDIA GPU"),
        ([16 * GB, 24 * GB], {"uses": 1, "gpu": 25}, r"25\.0 GB of gpu memory .* has 24"),
    ):
        monkeypatch.setattr(hardware, "gpu_bytes", lambda gpus=gpus: gpus)
        with pytest.raises(InputError, match=words):
            capacity(**sizes)
    assert capacity(uses=1, gpu=24) == []


HUB = {
    "models": {"target": "hub:maker/target", "retrain": "hub:maker/retrain"},
    "revisions": {f"maker/{name}": COMMIT for name in ("target", "retrain")},
}


def test_of_the_hub_small_files_are_fetched(given: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {file.name: file.read_bytes() for file in (given / "target").iterdir()}
    files = {f"models:maker/{name}": dict(small) for name in ("target", "retrain")}
    with in_place_of_the_hub(FakeHub(files), given / "cache", monkeypatch) as hub:
        assert door(HUB) == []
        assert not hub.asked("model.safetensors")
        assert hub.asked("maker/target/resolve")
