"""Checkpoint folders: what is refused, and that a merged adapter is what the algebra says."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qunlearn.models.checkpoints import (
    check_checkpoint,
    is_adapter,
    is_diverged,
    load_dense,
    load_model,
    load_tokenizer,
    save_model,
)
from qunlearn.models.weights import tensor_files
from qunlearn.run.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def tiny_model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=1,
        num_attention_heads=4,
        vocab_size=32,
    )
    return LlamaForCausalLM(config).eval()


def tiny_tokenizer(tokens: int = 30) -> PreTrainedTokenizerFast:
    """`tokens` words in the vocabulary, and one added end token."""
    words = {f"w{index}": index for index in range(tokens)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_model(tiny_model(), tiny_tokenizer(), folder)
    return folder


@pytest.fixture
def checkpoint(saved: Path, tmp_path: Path) -> Path:
    """A good checkpoint to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LoRA of rank 4, alpha 8, with B away from zero."""
    folder = tmp_path_factory.mktemp("adapter")
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(tiny_model(), settings).save_pretrained(folder)
    return folder


def test_round_trip(checkpoint: Path) -> None:
    check_checkpoint(checkpoint)
    model = load_model(checkpoint, torch.float32)

    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in tiny_model().state_dict().items())
    assert len(load_tokenizer(checkpoint)) == 31
    assert load_model(checkpoint, torch.bfloat16).dtype == torch.bfloat16


def test_shards(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    tiny_model().save_pretrained(checkpoint, max_shard_size="50KB")

    check_checkpoint(checkpoint)
    state = load_model(checkpoint, torch.float32).state_dict()
    assert all(torch.equal(state[key], value) for key, value in tiny_model().state_dict().items())

    sorted(checkpoint.glob("model-*.safetensors"))[1].unlink()
    with pytest.raises(InputError, match=r"names 1 of \d+ shards that are missing, e.g. model-0"):
        check_checkpoint(checkpoint)


def test_folder_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: no such checkpoint folder"):
        check_checkpoint(tmp_path / "nowhere")


def test_config_missing(checkpoint: Path) -> None:
    (checkpoint / "config.json").unlink()
    with pytest.raises(InputError, match=r"without config\.json"):
        check_checkpoint(checkpoint)


@pytest.mark.parametrize(
    ("text", "complaint"), [("{oops", "not valid JSON"), ("[]", "not a JSON object")]
)
def test_config_unreadable(checkpoint: Path, text: str, complaint: str) -> None:
    (checkpoint / "config.json").write_text(text)
    with pytest.raises(InputError, match=complaint):
        check_checkpoint(checkpoint)


def test_weights_missing(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"without weights; add model\.safetensors"):
        check_checkpoint(checkpoint)


def test_pickled_weights_are_to_be_converted(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    with pytest.raises(
        InputError,
        match=r"folder without weights; found pytorch_model\.bin: convert it to safetensors",
    ):
        check_checkpoint(checkpoint)


def test_index_without_a_map(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors.index.json").write_text("{}")
    with pytest.raises(InputError, match="no object 'weight_map'"):
        check_checkpoint(checkpoint)


def test_tokenizer_missing(checkpoint: Path) -> None:
    (checkpoint / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="without a tokenizer"):
        check_checkpoint(checkpoint)


def test_tokenizer_too_large(checkpoint: Path) -> None:
    tiny_tokenizer(31).save_pretrained(checkpoint)
    check_checkpoint(checkpoint)  # 31 words and the end token: 32 embeddings are just enough
    tiny_tokenizer(32).save_pretrained(checkpoint)
    with pytest.raises(InputError, match="vocabulary of 33 does not fit the model's 32"):
        check_checkpoint(checkpoint)


def test_damaged_weights(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(InputError, match=r"model\.safetensors: \d+ bytes instead of \d+"):
        check_checkpoint(checkpoint)
    path.write_bytes(whole.replace(b'"F32"', b'"F99"'))
    with pytest.raises(InputError, match="damaged safetensors"):
        load_model(checkpoint, torch.float32)


def test_a_damaged_adapter(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    path = Path(shutil.copytree(adapter, tmp_path / "adapter")) / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"adapter_model\.safetensors: \d+ bytes instead of"):
        load_dense(path.parent, checkpoint)


def test_absent_tensors_are_not_invented(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.0.mlp.up_proj.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"1 tensors of the model, e\.g\. .*up_proj"):
        load_model(checkpoint, torch.float32)


@pytest.mark.parametrize(
    "name", ["model.layers.0.self_attn.k_proj.bias", "model.layers.1.mlp.up_proj.weight"]
)
def test_tensors_without_a_place_are_not_left_out(checkpoint: Path, name: str) -> None:
    path = checkpoint / "model.safetensors"
    save_file(load_file(path) | {name: torch.ones(64)}, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=f"checkpoint: has 1 tensors that .* no place.* {name};"):
        load_model(checkpoint, torch.float32)


def test_buffers_of_older_versions_and_a_tied_head_have_their_place(checkpoint: Path) -> None:
    path = checkpoint / "model.safetensors"
    tensors = load_file(path)
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"tie_word_embeddings": True}))
    tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
    save_file(tensors, path, metadata={"format": "pt"})
    model = load_model(checkpoint, torch.float32)
    assert torch.equal(model.lm_head.weight, tensors["lm_head.weight"])


def test_two_sets_of_weights_are_refused(checkpoint: Path) -> None:
    whole = (checkpoint / "model.safetensors").read_bytes()
    (checkpoint / "model.safetensors").unlink()
    tiny_model().save_pretrained(checkpoint, max_shard_size="50KB")
    (checkpoint / "model.safetensors").write_bytes(whole)
    for read in (check_checkpoint, tensor_files):
        with pytest.raises(InputError, match=r"checkpoint: two sets of weights, model\.safet"):
            read(checkpoint)


def test_an_index_of_one_file_names_one_set(checkpoint: Path) -> None:
    names = load_file(checkpoint / "model.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(names, "model.safetensors")}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index))
    check_checkpoint(checkpoint)
    assert tensor_files(checkpoint).keys() == names.keys()


@pytest.mark.parametrize(
    ("kind", "named"),
    [
        ("qwen2", "TokenizersBackend"),
        ("qwen2", "Qwen2Tokenizer"),
        ("llama", "GPT2Tokenizer"),
    ],
)
def test_ids_are_those_of_tokenizer_json(checkpoint: Path, kind: str, named: str) -> None:
    texts = ["In 1987 the mill isn't old;\n\nin 1988 it isn't new.", "Café 1987"]
    core = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.pre_tokenizer = bytes_
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(texts, trainer)
    # Other pieces than those of GPT-2 (1987), Qwen2 (1 9 8 7) and SentencePiece.
    threes = pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([threes, bytes_])
    PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>").save_pretrained(checkpoint)
    for file, changes in (
        ("config.json", {"model_type": kind}),
        ("tokenizer_config.json", {"tokenizer_class": named}),
    ):
        content = json.loads((checkpoint / file).read_text())
        (checkpoint / file).write_text(json.dumps(content | changes))

    own = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    loaded = load_tokenizer(checkpoint)
    assert [loaded(text).input_ids for text in texts] == [own.encode(text).ids for text in texts]
    assert loaded.eos_token == "</s>"


def test_checking_loads_no_torch(checkpoint: Path) -> None:
    program = (
        "import sys; from pathlib import Path; "
        "from qunlearn.models.checkpoints import check_checkpoint; "
        "check_checkpoint(Path(sys.argv[1])); "
        "print(*{'torch', 'transformers', 'tokenizers'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(checkpoint)],
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""


def test_hidden_packages_stay_out(checkpoint: Path) -> None:
    program = """
import sys, json
from pathlib import Path
from qunlearn.run.imports import OPTIONAL, hide
hide(*OPTIONAL, "json")
import torch
from transformers import Trainer
from qunlearn.models.checkpoints import load_model, load_tokenizer
model = load_model(Path(sys.argv[1]), torch.float32)
tokens = torch.ones(1, 3, dtype=torch.long)
answer = model.generate(tokens, max_new_tokens=2, min_new_tokens=2, do_sample=False)
load_tokenizer(Path(sys.argv[1]))
print(*answer.shape, [name for name in OPTIONAL if sys.modules[name]], bool(sys.modules["json"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(checkpoint)],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "1 5 [] True"


def test_bitsandbytes_loads_no_compiler() -> None:
    program = (
        "import sys; from qunlearn.run.imports import hide; hide('scipy'); import bitsandbytes; "
        "print('torch._inductor.compile_fx' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "False"


def test_merge_is_the_algebra(checkpoint: Path, adapter: Path) -> None:
    merged = load_dense(adapter, checkpoint).state_dict()
    factors = load_file(adapter / "adapter_model.safetensors")

    assert merged.keys() == tiny_model().state_dict().keys()
    for name, weight in tiny_model().state_dict().items():
        path = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{path}.lora_A.weight" in factors:
            left, right = factors[f"{path}.lora_B.weight"], factors[f"{path}.lora_A.weight"]
            update = (8 / 4) * left @ right
            assert float(update.norm()) > 0
            assert torch.allclose(merged[name], weight + update, atol=1e-6, rtol=0)
        else:
            assert torch.equal(merged[name], weight)
    assert len(factors) == 2 * 7


def test_merge_comes_before_rounding(checkpoint: Path, adapter: Path) -> None:
    exact = load_dense(adapter, checkpoint).state_dict()
    rounded = load_dense(adapter, checkpoint, torch.bfloat16).state_dict()

    assert all(torch.equal(rounded[name], value.bfloat16()) for name, value in exact.items())


def test_dense_checkpoint_needs_no_base(checkpoint: Path) -> None:
    state = load_dense(checkpoint).state_dict()
    assert all(torch.equal(state[key], value) for key, value in tiny_model().state_dict().items())


def test_adapter_without_base_or_weights(adapter: Path, checkpoint: Path, tmp_path: Path) -> None:
    assert is_adapter(adapter)
    assert not is_adapter(checkpoint)
    with pytest.raises(InputError, match="give the checkpoint it belongs to as base"):
        load_dense(adapter)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"without adapter_model\.safetensors"):
        load_dense(tmp_path, checkpoint)


def test_diverged(tmp_path: Path) -> None:
    assert not is_diverged(tmp_path)
    for status, expected in (("ok", False), ("diverged", True)):
        (tmp_path / "manifest.json").write_text(json.dumps({"status": status}))
        assert is_diverged(tmp_path) is expected


def test_quantize_script_passes_divergence_on(tmp_path: Path) -> None:
    source, output = tmp_path / "source", tmp_path / "output"
    source.mkdir()
    (source / "manifest.json").write_text(json.dumps({"status": "diverged", "outputs": {}}))
    command = [sys.executable, str(ROOT / "workflow/scripts/quantize.py"), "--source", str(source)]

    subprocess.run(
        [*command, "--precision", "nf4", "--output", str(output)],
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": "/usr/bin:/bin"},
        check=True,
    )

    assert [path.name for path in output.iterdir()] == ["manifest.json"]
    manifest = json.loads((output / "manifest.json").read_text())
    assert (manifest["status"], manifest["settings"]["name"]) == ("diverged", "nf4")
