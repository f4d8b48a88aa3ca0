"""The door: what would fail hours later is one line before the first job."""

import json
import re
import shutil
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import small_configs
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from safetensors.numpy import save_file
from small_corpora import SMALL
from small_gguf import weights, write_gguf
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing

from qunlearn import preflight
from qunlearn.corpora import layout, mini
from qunlearn.experiment import commandline, config, inputs
from qunlearn.experiment.lengths import beyond_training
from qunlearn.models.hub import snapshot
from qunlearn.models.scratch import train_tokenizer
from qunlearn.plan import Job
from qunlearn.run import hardware, interpreter
from qunlearn.run.errors import InputError
from qunlearn.settings.models import ModelSettings

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 128,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
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
        (folder / name / "config.json").write_text(json.dumps(LLAMA))
        save_file({}, folder / name / "model.safetensors")
    return folder


@pytest.fixture
def given(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: [])
    return tmp_path


def door(changes: dict[str, Any], *, words: dict[str, Any] | None = None, **how: Any) -> list[str]:
    """The warnings; `words` are those of the command line."""
    values: dict[str, Any] = {
        "corpora": ["news"],
        "corpus": {"source": "local"},
        "muse_dir": "corpora",
        "precisions": ["bf16", "nf4", "rtn4"],
        "models": MODELS,
        "evaluate": SHORT,
    }
    values = small_configs.over(values, changes)
    values = commandline.with_words(small_configs.over(values, words or {}), words or {})
    full = config.resolve(values)
    inputs.check_given(full)
    return preflight.preflight(full, Path("results"), **{"cluster": False, **how})[0]


def edit(name: str, **changes: Any) -> Callable[[], None]:
    """Other values in a JSON file, which need not be there."""

    def change() -> None:
        file = Path(name)
        content = json.loads(file.read_text()) if file.exists() else {}
        file.write_text(json.dumps(content | changes))

    return change


def text(name: str, content: str) -> Callable[[], object]:
    return lambda: Path(name).write_text(content)


def drop(name: str) -> Callable[[], object]:
    return lambda: Path(name).unlink()


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


def nothing() -> None: ...


GPTQ = {"precisions": ["bf16", "gptq4g32"]}
SCRATCH = {"models": {"base": "scratch", "target": "train", "retrain": "train"}}
BROKEN: dict[str, tuple[Callable[[], object], dict[str, Any], str]] = {
    "pad token without an embedding": (
        pad_added,
        {},
        r"'models\.target' \(target\): the tokenizer's token '\[PAD\]' has the id 320, .* 320 rows",
    ),
    "attention that is not there": (
        edit("target/config.json", _attn_implementation="flash_attention_2"),
        {},
        r"models\.target'.*config\.json: _attn_implementation is 'flash_attention_2', and .*remove",
    ),
    "special_tokens_map cut short": (
        text("target/special_tokens_map.json", '{"eos_token": '),
        {},
        r"models\.target'.*special_tokens_map\.json: not valid JSON at line 1",
    ),
    "added_tokens of another form": (
        text("retrain/added_tokens.json", "[]"),
        {},
        r"models\.retrain'.*added_tokens\.json: not a JSON object",
    ),
    "tokenizer that transformers cannot read": (
        edit("target/tokenizer.json", pre_tokenizer={"type": "Strange"}),
        {},
        r"models\.target' \(target\): target: the tokenizer cannot be read",
    ),
    "too few examples": (
        nothing,
        {"evaluate": {"shots": 10}},
        r"'evaluate\.shots' \(corpora/news\): knowmem/forget_qa_icl\.json has 2 .*shots is 10",
    ),
    "too few examples of mini": (
        nothing,
        {**SCRATCH, "corpus": {"source": "mini"}, "evaluate": {"shots": 3}},
        r"'evaluate\.shots': 3 is more than corpus\.mini\.shots, 2",
    ),
    "too little to calibrate on": (
        nothing,
        {**GPTQ, "quantization": {"calibration": {"sequences": 128, "length": 128}}},
        r"'quantization\.calibration': retain1 of news: \d+ tokens make \d+ windows of 128, not",
    ),
    "no text for a base from scratch": (
        drop("corpora/news/raw/pretrain.json"),
        SCRATCH,
        r"'muse_dir' \(corpora/news\): corpora/news: no text for raw/pretrain\.json, on which",
    ),
    "other kind of model": (
        edit("target/config.json", model_type="gpt2"),
        {},
        r"models\.target' \(target\): models of type 'gpt2' are not supported",
    ),
    "no language model": (
        edit("target/config.json", architectures=["LlamaForSequenceClassification"]),
        {},
        "give a causal language model",
    ),
    "quantized already": (
        edit("target/config.json", quantization_config={}),
        {},
        "quantized already",
    ),
    "two shapes": (
        edit("target/config.json", hidden_size=64, model_type="mistral"),
        {},
        r"target' and 'models\.retrain'.*type mistral and llama, hidden 64 and 128, head_dim 16 an",
    ),
    "two tokenizers": (
        other_words,
        {},
        "target and retrain have different tokenizers, and PrivLeak .*set models.tokenizer",
    ),
    "another beginning of a text": (
        begin_otherwise,
        {},
        "target and retrain have different tokenizers",
    ),
    "tokenizer of a base": (
        other_words,
        {"models": {"base": "retrain", "target": "target", "retrain": "train"}},
        "target and retrain have different tokenizers",
    ),
    "group": (
        nothing,
        {"precisions": ["bf16", "gptq4"]},
        r"'precisions' \(models\.target of news\): .*group 128 does not divide the 192 .*gptq4g32",
    ),
    "blocks": (
        edit("target/config.json", intermediate_size=160),
        {"models": {"target": "target", "retrain": "target"}},
        r"'nf4': its blocks of 64 do not divide the 160 inputs",
    ),
    "group of a control": (
        edit("target/config.json", intermediate_size=160),
        {
            "models": {"target": "target", "retrain": "target"},
            "precisions": ["bf16", "rtn4"],
            "controls": True,
        },
        r"'control_settings\.precisions' .* group 64 does not divide",
    ),
    "rows": (
        nothing,
        {"unlearn": {"overrides": {"*/*/lora": {"max_tokens": 513}}}},
        r"'unlearn\.settings\.max_tokens': 513 tokens are more than the context .*, 512",
    ),
    "rows of what is trained": (
        nothing,
        {
            "models": {"base": "base", "target": "target", "retrain": "train"},
            "train": {"retrain": {"max_tokens": 600}},
        },
        r"'train\.retrain\.max_tokens': 600",
    ),
    "answers": (nothing, {"evaluate": {"verbmem_tokens": 512}}, r"'evaluate\.verbmem_tokens': 513"),
    "windows": (
        nothing,
        {**GPTQ, "quantization": {"calibration": {"length": 600}}},
        r"'quantization\.calibration\.length': 600",
    ),
}


@pytest.mark.parametrize("what", BROKEN)
def test_what_would_fail_later_is_refused(what: str, given: Path) -> None:
    damage, changes, words = BROKEN[what]
    damage()
    with pytest.raises(InputError, match=words):
        door(changes)


FINE: dict[str, tuple[Callable[[], object], dict[str, Any]]] = {
    "as it is": (nothing, {}),
    "GPTQ": (nothing, {**GPTQ, "quantization": {"calibration": {"sequences": 2, "length": 32}}}),
    "another context": (edit("target/config.json", max_position_embeddings=1024), {}),
    "another cut": (edit("retrain/tokenizer.json", truncation=None), {}),
    "another pad token": (edit("retrain/tokenizer_config.json", pad_token=None), {}),
    "another tokenizer for both": (other_words, {"models": {**MODELS, "tokenizer": "target"}}),
    "a group that only an unused base has not": (
        nothing,
        {"models": {**MODELS, "architecture": {"hidden": 40, "mlp": 40, "heads": 1}}},
    ),
}


@pytest.mark.parametrize("what", FINE)
def test_what_would_not_passes_without_a_warning(what: str, given: Path) -> None:
    damage, changes = FINE[what]
    damage()
    assert door(changes) == []


WARNED: dict[str, tuple[dict[str, Any], str]] = {
    "cut texts": ({"evaluate": {"max_tokens": 2048}}, "evaluate.max_tokens: texts of news are cut"),
    "long answers": ({"evaluate": {"knowmem_tokens": 1}}, "news: KnowMem: "),
    "a tokenizer to come": (
        {"models": {"base": "scratch", "target": "target", "retrain": "train"}},
        "models of news: target's tokenizer and retrain's can be compared only later",
    ),
}


@pytest.mark.parametrize("what", WARNED)
def test_what_may_mislead_is_a_warning(what: str, given: Path) -> None:
    changes, words = WARNED[what]
    assert door(changes)[0].startswith(words)


def test_evaluation_beyond_the_training_rows_is_a_warning() -> None:
    """Of a generated corpus, whose prompts are about 50 tokens long by the estimate."""
    asked = {"shots": 0, "knowmem_tokens": 8, "verbmem_tokens": 100, "max_tokens": 256}

    def warned(rows: int, **changes: Any) -> list[str]:
        trained = {name: {"max_tokens": rows} for name in ("target", "retrain")}
        full = config.resolve(small_configs.tiny({"train": trained, "evaluate": asked | changes}))
        return beyond_training(full, "news", 512)

    (found,) = warned(64)
    assert re.fullmatch(
        r"train\.target\.max_tokens and train\.retrain\.max_tokens: evaluation of news goes beyond "
        r"rows of 64 tokens: about 1\d\d in VerMem \(evaluate\.verbmem_tokens\).*; raise it, or .*",
        found,
    )
    assert warned(256) == []
    given = small_configs.tiny({"models": {"target": "a", "retrain": "b"}, "evaluate": asked})
    assert beyond_training(config.resolve(given), "news", 512) == []


def test_words_of_the_command_line_are_numbers(given: Path) -> None:
    """As Snakemake's --config hands them over."""
    values = {"unlearn": {"settings": {"epochs": "3", "lr": "2e-5"}}, "seeds": ["0", "1"]}
    values |= {"sweep": {"*/*/lora": {"lr": ["1e-4"]}}, "muse_dir": "3"}
    files = {"unlearn": {"settings": {"beta": 0.5, "warmup": "word"}}, "muse_dir": "3"}
    found = commandline.with_words(small_configs.over(files, values), values)
    assert found["unlearn"] == {
        "settings": {"beta": 0.5, "warmup": "word", "epochs": 3, "lr": 2e-5}
    }
    assert found["seeds"] == [0, 1] and found["sweep"]["*/*/lora"]["lr"] == [1e-4]
    assert door({}, words={"unlearn": {"settings": {"epochs": "3", "lr": "2e-5"}}}) == []
    for word, key in (("4294967296", r"seeds\.0"), ("nan", r"seeds\.0")):
        with pytest.raises(InputError, match=f"config key '{key}'"):
            door({}, words={"seeds": [word]})


@pytest.mark.parametrize(
    "words",
    [
        ["--configfile", "a.yaml", "--configfile", "b.yaml"],
        ["--configfile=a.yaml", "--configfiles", "b.yaml"],
        ["--config", "seeds=[0]", "-C", "experiment=x"],
    ],
)
def test_a_flag_given_twice_is_refused(words: list[str]) -> None:
    with pytest.raises(InputError, match=f"^{words[0].partition('=')[0]}: given twice.*after one"):
        commandline.check_flags(["snakemake", *words])
    commandline.check_flags(["snakemake", "--configfile", "a", "b", "--config", "x=1", "y=2"])


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


def test_make_setups_python_runs_the_jobs_of_a_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = tmp_path / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.touch()
    assert interpreter.job_python(tmp_path) == sys.executable
    monkeypatch.setattr(interpreter, "NEEDED", "no_such_package")
    assert interpreter.job_python(tmp_path) == str(python)
    assert interpreter.job_python(tmp_path / "elsewhere") == sys.executable


@pytest.fixture
def capacity(given: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    monkeypatch.setattr(hardware, "host_bytes", lambda: 8_000_000_000)
    monkeypatch.setattr(hardware, "free_bytes", lambda path: 5_000_000_000)

    def run(*, cluster: bool = False, uses: int = 0, **sizes: int) -> list[str]:
        jobs = [Job("unlearn", "unlearn full", 1, **{"host": 0, **sizes})]
        monkeypatch.setattr(preflight, "estimate", lambda config, shapes: jobs)
        return door({"resources": {"unlearn": {"gpu": uses}}}, cluster=cluster)

    return run


def test_memory_disk_and_gpu_must_do(
    capacity: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert capacity(host=8_000_000_000, disk=5_000_000_000) == []
    for sizes, words in (
        ({"host": 8_100_000_000}, r"unlearn full: 8\.1 GB of host memory .* has 8\.0 GB"),
        (
            {"disk": 4_000_000_000, "scratch": 2_000_000_000},
            r"results: another 6\.0 GB are needed, and 5\.0 GB",
        ),
        ({"uses": 1}, r"'resources\.unlearn\.gpu': no NVIDIA GPU"),
    ):
        with pytest.raises(InputError, match=words):
            capacity(**sizes)
    warned = capacity(cluster=True, uses=1, host=8_100_000_000)
    assert ["GPU" in warned[0], "host memory" in warned[1]] == [True, True]
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: [16_000_000_000, 24_000_000_000])
    assert capacity(uses=1, gpu=24_000_000_000) == []
    with pytest.raises(InputError, match=r"25\.0 GB of gpu memory .* has 24"):
        capacity(uses=1, gpu=25_000_000_000)


def test_what_is_there_already_needs_no_room(
    capacity: Callable[..., list[str]], given: Path
) -> None:
    (given / "results").mkdir()
    (given / "results/file").write_bytes(b"x" * 1000)
    capacity(disk=5_000_001_000)
    with pytest.raises(InputError, match="GB are needed"):
        capacity(disk=5_000_001_001)


HUB = {
    "models": {"target": "hub:maker/target", "retrain": "hub:maker/retrain"},
    "revisions": {f"maker/{name}": COMMIT for name in ("target", "retrain")},
}


@pytest.fixture
def hub(given: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    small = {file.name: file.read_bytes() for file in (given / "target").iterdir()}
    files = {
        "models:maker/target": small | {"model.safetensors": b"w" * 5000},
        "models:maker/retrain": small | {"model.safetensors": b"v" * 3000},
    }
    with in_place_of_the_hub(FakeHub(files), given / "cache", monkeypatch) as hub:
        yield hub


def test_of_the_hub_only_small_files_are_fetched(hub: FakeHub) -> None:
    assert door(HUB) == []
    assert not hub.asked("model.safetensors")
    assert hub.asked("maker/target/resolve")


def test_pickled_weights_alone_are_refused(hub: FakeHub) -> None:
    files = hub.files["models:maker/retrain"]
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    with pytest.raises(InputError, match=r"models\.retrain' \(hub:maker/retrain\): no safetensors"):
        door(HUB)


def test_what_the_hub_s_cache_needs(
    hub: FakeHub, capacity: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing besides the plan's on the results' disk; on another one all of the weights."""
    jobs = [Job("unlearn", "unlearn full", 1, host=0, disk=7000)]
    monkeypatch.setattr(preflight, "estimate", lambda config, shapes: jobs)

    def room(size: int) -> None:
        monkeypatch.setattr(hardware, "free_bytes", lambda path: size)
        door(HUB)

    room(7000)
    snapshot("maker/target", COMMIT, kind="model", patterns=["*.safetensors"])
    room(2000)  # 5000 are there, to be linked
    with pytest.raises(InputError, match="results: another"):
        room(1999)
    monkeypatch.setattr(hardware, "disk_of", lambda path: path.name == "cache")
    with pytest.raises(InputError, match="results: another"):
        room(6999)
    jobs[0] = Job("unlearn", "unlearn full", 1, host=0, disk=1)
    with pytest.raises(InputError, match="cache: another"):
        room(2999)


def test_gguf_tokenizers_are_compared_and_counted(given: Path) -> None:
    file = write_gguf(given / "a.gguf", weights())
    shutil.copy(file, given / "b.gguf")
    large = write_gguf(given / "large.gguf", weights(), tokens=2)
    models = {"target": f"gguf:{file}", "retrain": "gguf:b.gguf"}
    short = {
        "unlearn": {"settings": {"max_tokens": 64}},
        "evaluate": {"max_tokens": 64, "verbmem_tokens": 8},
        "precisions": ["bf16"],
    }
    assert all(line.startswith("news: ") for line in door({"models": models, **short}))
    with pytest.raises(InputError, match=r"has the id 15, and the model's embedding has 14 rows"):
        door({"models": models | {"retrain": f"gguf:{large}"}, **short})
