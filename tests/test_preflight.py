"""What is told before the first long job, and what it costs to look."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from small_gguf import weights, write_gguf

from qunlearn import machine, preflight
from qunlearn.experiment.config import resolve
from qunlearn.models.hub import snapshot
from qunlearn.plan import Job
from qunlearn.run import hardware
from qunlearn.run.errors import InputError

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 10,
    "hidden_size": 96,
    "intermediate_size": 192,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}
TOKENIZER = {"model": {"vocab": {"a": 0, "b": 9}}, "added_tokens": [], "truncation": None}


def model_folder(path: Path, changes: dict[str, Any] | None = None) -> Path:
    """A checkpoint without its weights, which preflight does not look at."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(LLAMA | (changes or {})))
    (path / "tokenizer.json").write_text(json.dumps(TOKENIZER))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "given/target")


@pytest.fixture
def retrain(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "given/retrain")


@pytest.fixture(autouse=True)
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: [])


def look(folder: Path, models: dict[str, Any], **changes: Any) -> list[preflight.Check]:
    config = {"corpora": ["news"], "precisions": ["bf16", "nf4", "rtn4"], "models": models}
    full = resolve({"evaluate": {"max_tokens": 256}} | config | changes)
    return preflight.preflight(full, folder / "results", cluster=False)[0]


def edit(file: Path, **changes: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | changes), encoding="utf-8")


def test_good_checkpoints_pass(target: Path, retrain: Path, tmp_path: Path) -> None:
    checks = look(tmp_path, {"target": str(target), "retrain": str(retrain)})
    assert {check.status for check in checks} == {"ok"}
    shape = next(check for check in checks if check.check == "architecture and shape").numbers
    # 10 x 96 twice, two layers of 4 x 96 x 96 + 3 x 96 x 192, five norms of 96
    assert shape["parameters"] == 2 * 960 + 2 * (36864 + 55296) + 480


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "gpt2"}, r"models\.target' \(.*target\): models of type 'gpt2'"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "no causal language model"),
        ({"quantization_config": {}}, "quantized already"),
        ({"vocab_size": 9}, r"models\.target' .*vocabulary of 10 does not fit the model's 9"),
        ({"hidden_size": 64}, r"target' and 'models\.retrain'.*hidden 64 and 96, head_dim 16 and"),
        ({"model_type": "mistral"}, "are not of one shape .type mistral and llama"),
    ],
)
def test_models_that_do_not_do(
    target: Path, retrain: Path, tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    edit(target / "config.json", **changes)
    with pytest.raises(InputError, match=words):
        look(tmp_path, {"target": str(target), "retrain": str(retrain)})


def test_a_context_of_another_length_is_no_other_shape(
    target: Path, retrain: Path, tmp_path: Path
) -> None:
    edit(target / "config.json", max_position_embeddings=1024)
    assert look(tmp_path, {"target": str(target), "retrain": str(retrain)})


def test_target_and_retrain_read_text_alike(target: Path, retrain: Path, tmp_path: Path) -> None:
    models = {"target": str(target), "retrain": str(retrain)}
    edit(retrain / "tokenizer.json", truncation={"max_length": 3})  # no part of what ids are
    assert look(tmp_path, models)
    edit(retrain / "tokenizer.json", model={"vocab": {"b": 0, "a": 9}})
    with pytest.raises(InputError, match=f"{target} and {retrain} have different tokenizers"):
        look(tmp_path, models)
    assert look(tmp_path, models | {"tokenizer": str(target)})


def test_a_bos_token_of_one_alone_is_a_difference(
    target: Path, retrain: Path, tmp_path: Path
) -> None:
    models = {"target": str(target), "retrain": str(retrain)}
    # Beside a tokenizer.json transformers pays no heed to it, and leaves it out of what it saves.
    (retrain / "tokenizer_config.json").write_text('{"add_bos_token": true}')
    assert look(tmp_path, models)
    edit(retrain / "tokenizer.json", post_processor={"type": "TemplateProcessing"})
    with pytest.raises(InputError, match="have different tokenizers"):
        look(tmp_path, models)


def test_a_retrain_that_is_trained_has_the_tokenizer_of_its_base(
    target: Path, tmp_path: Path
) -> None:
    base = model_folder(tmp_path / "base")
    assert look(tmp_path, {"base": str(base), "target": str(target)})
    edit(base / "tokenizer.json", model={"vocab": {"b": 0, "a": 9}})
    with pytest.raises(InputError, match=f"{target} and {base} have different tokenizers"):
        look(tmp_path, {"base": str(base), "target": str(target)})
    warned = [check for check in look(tmp_path, {"target": str(target)}) if check.note]
    assert [check.check for check in warned] == ["one tokenizer"]


def test_groups_must_divide_the_widths_of_given_checkpoints(
    target: Path, retrain: Path, tmp_path: Path
) -> None:
    models = {"target": str(target), "retrain": str(retrain)}
    words = r"'precisions': the group of 128 of gptq4 .* 96 of models\.target .*use gptq4g32"
    with pytest.raises(InputError, match=words):
        look(tmp_path, models, precisions=["bf16", "gptq4"])
    assert look(tmp_path, models, precisions=["bf16", "gptq4g32"])
    with pytest.raises(InputError, match=r"'control_settings\.precisions': the group of 64 of rtn"):
        look(tmp_path, models, controls=True)


def test_groups_of_a_base_that_nobody_needs_are_no_matter(
    target: Path, retrain: Path, tmp_path: Path
) -> None:
    models = {
        "target": str(target),
        "retrain": str(retrain),
        "architecture": {"hidden": 40, "mlp": 40, "heads": 1},
    }
    assert look(tmp_path, models, precisions=["bf16", "rtn4g32"])


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"unlearn": {"overrides": {"*/*/lora": {"max_tokens": 513}}}}, "unlearn.settings.max_tok"),
        ({"evaluate": {"verbmem_tokens": 512, "max_tokens": 9}}, "evaluate.verbmem_tokens"),
        (
            {
                "precisions": ["bf16", "gptq4g32"],
                "quantization": {"calibration": {"length": 600}},
            },
            "quantization.calibration.length",
        ),
    ],
)
def test_lengths_must_fit_the_context(
    target: Path, retrain: Path, tmp_path: Path, changes: dict[str, Any], key: str
) -> None:
    with pytest.raises(InputError, match=rf"'{key}.*: \d+ tokens are more than the context .*512"):
        look(tmp_path, {"target": str(target), "retrain": str(retrain)}, **changes)


def test_training_rows_must_fit_the_context_of_what_is_trained(tmp_path: Path) -> None:
    models = {"base": str(model_folder(tmp_path / "base"))}
    train = {"retrain": {"max_tokens": 600}}
    with pytest.raises(InputError, match=r"'train\.retrain\.max_tokens': 600"):
        look(tmp_path, models, train=train)


def test_texts_that_will_be_cut_are_a_warning(tmp_path: Path) -> None:
    checks = look(tmp_path, {}, evaluate={"max_tokens": 2048})
    assert [check.of for check in checks if check.note] == ["evaluate.max_tokens"]


def test_evaluation_beyond_the_training_rows_is_a_warning(target: Path, tmp_path: Path) -> None:
    models = {"target": str(target)}  # and retrain is trained
    rows = {"retrain": {"max_tokens": 64}}
    asked = {"max_tokens": 256, "shots": 0, "knowmem_tokens": 8, "verbmem_tokens": 100}

    def warned(**changes: Any) -> list[str]:
        return [f"{c.of}: {c.note}" for c in look(tmp_path, models, **changes) if "rows" in c.note]

    found = warned(train=rows, evaluate=asked)
    assert len(found) == 1
    assert re.fullmatch(
        r"train\.retrain\.max_tokens: evaluation of news goes beyond rows of 64 tokens: "
        r"about 1\d\d in VerMem \(evaluate\.verbmem_tokens\); raise it, or .*",
        found[0],
    )
    assert not warned(train=rows, evaluate=asked | {"verbmem_tokens": 8})
    assert not warned(train={"retrain": {"max_tokens": 256}}, evaluate=asked)


def test_models_that_are_given_have_rows_of_their_own(
    target: Path, retrain: Path, tmp_path: Path
) -> None:
    models = {"target": str(target), "retrain": str(retrain)}
    asked = {"max_tokens": 256, "verbmem_tokens": 400}
    assert not [c for c in look(tmp_path, models, evaluate=asked) if "rows" in c.note]


def plan(**sizes: int) -> list[Job]:
    smaller = Job("train", "train base", 1, host=1, gpu=1, disk=1)
    return [smaller, Job("unlearn", "unlearn full", 1, **{"host": 0, **sizes})]


def capacity(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    cluster: bool = False,
    uses: int = 0,
    **sizes: int,
) -> list[preflight.Check]:
    monkeypatch.setattr(preflight, "estimate", lambda config, shapes: plan(**sizes))
    monkeypatch.setattr(machine, "host_bytes", lambda: 8_000_000_000)
    monkeypatch.setattr(machine, "free_bytes", lambda path: 5_000_000_000)
    resources = {"unlearn": {"gpu": uses}}
    full = resolve({"corpora": ["news"], "resources": resources})
    return preflight.preflight(full, tmp_path / "results", cluster=cluster)[0]


def test_memory_disk_and_gpu_must_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    enough = {"host": 8_000_000_000, "disk": 4_999_999_999}
    assert capacity(monkeypatch, tmp_path, **enough)
    with pytest.raises(InputError, match=r"unlearn full: 8\.1 GB of host memory .* has 8\.0 GB"):
        capacity(monkeypatch, tmp_path, host=8_100_000_000)
    with pytest.raises(InputError, match=r"results: another 6\.0 GB are needed, and 5\.0 GB"):
        capacity(monkeypatch, tmp_path, disk=4_000_000_000, scratch=2_000_000_000)
    with pytest.raises(InputError, match=r"'resources\.unlearn\.gpu': no NVIDIA GPU"):
        capacity(monkeypatch, tmp_path, uses=1)
    monkeypatch.setattr(hardware, "gpu_bytes", lambda: [16_000_000_000, 24_000_000_000])
    assert capacity(monkeypatch, tmp_path, uses=1, gpu=24_000_000_000)
    with pytest.raises(InputError, match=r"25\.0 GB of gpu memory .* has 24"):
        capacity(monkeypatch, tmp_path, uses=1, gpu=25_000_000_000)


def test_what_the_head_of_a_cluster_lacks_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checks = capacity(monkeypatch, tmp_path, cluster=True, uses=1, host=8_100_000_000)
    warned = {check.of for check in checks if check.check == "machine" and check.note}
    assert warned == {"host memory", "resources.unlearn.gpu"}


def test_what_is_there_already_needs_no_room(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    (tmp_path / "results/file").write_bytes(b"x" * 1000)
    assert capacity(monkeypatch, tmp_path, disk=5_000_000_999)
    with pytest.raises(InputError, match="disk"):
        capacity(monkeypatch, tmp_path, disk=5_000_001_001)


@pytest.fixture
def hub(target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    small = {file.name: file.read_bytes() for file in target.iterdir()}
    files = {
        "models:maker/target": small | {"model.safetensors": b"w" * 5000},
        "models:maker/retrain": small | {"model.safetensors": b"v" * 3000},
    }
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


HUB_MODELS = {"target": "hub:maker/target", "retrain": "hub:maker/retrain"}
REVISIONS = {"maker/target": COMMIT, "maker/retrain": COMMIT, "maker/tokenizer": COMMIT}


def test_of_the_hub_only_small_files_are_fetched(hub: FakeHub, tmp_path: Path) -> None:
    assert look(tmp_path, HUB_MODELS, revisions=REVISIONS)
    assert not hub.asked("model.safetensors") and not hub.asked("model.safetensors", "HEAD")
    assert hub.asked("maker/target/resolve")


def test_what_the_hub_s_cache_needs(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing besides the plan's on the results' disk; on another one all of the weights."""
    monkeypatch.setattr(preflight, "estimate", lambda config, shapes: plan(disk=7000))

    def needed() -> dict[str, int]:
        checks = look(tmp_path, HUB_MODELS, revisions=REVISIONS)
        return {Path(c.of).name: c.numbers["needed_bytes"] for c in checks if c.check == "disk"}

    assert needed() == {"results": 7001}
    snapshot("maker/target", COMMIT, kind="model", patterns=["*.safetensors"])
    assert needed() == {"results": 2001}  # 5000 are there, to be linked
    monkeypatch.setattr(machine, "_disk", lambda path: path.name == "cache")
    assert needed() == {"results": 7001, "cache": 3000}


def test_a_hub_model_with_pickled_weights_alone_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    files = hub.files["models:maker/retrain"]
    files["pytorch_model.bin"] = files.pop("model.safetensors")
    with pytest.raises(InputError, match=r"models\.retrain' \(hub:maker/retrain\): no safetensors"):
        look(tmp_path, HUB_MODELS, revisions=REVISIONS)


def test_the_hub_s_tokenizer_must_fit_too(hub: FakeHub, tmp_path: Path) -> None:
    large = {"model": {"vocab": {"a": 0, "b": 10}}}
    hub.files["models:maker/tokenizer"] = {"tokenizer.json": json.dumps(large).encode()}
    with pytest.raises(InputError, match="vocabulary of 11 does not fit the model's 10"):
        look(tmp_path, HUB_MODELS | {"tokenizer": "hub:maker/tokenizer"}, revisions=REVISIONS)


def test_gguf_tokenizers_are_compared_and_counted(tmp_path: Path) -> None:
    file = write_gguf(tmp_path / "a.gguf", weights())
    shutil.copy(file, tmp_path / "b.gguf")
    large = write_gguf(tmp_path / "large.gguf", weights(), tokens=2)
    models = {"target": f"gguf:{file}", "retrain": f"gguf:{tmp_path / 'b.gguf'}"}
    short = {
        "unlearn": {"settings": {"max_tokens": 64}},
        "evaluate": {"max_tokens": 64, "verbmem_tokens": 8},
    }
    assert {check.status for check in look(tmp_path, models, **short)} == {"ok"}
    with pytest.raises(InputError, match="vocabulary of 16 does not fit the model's 14"):
        look(tmp_path, models | {"retrain": f"gguf:{large}"}, **short)
