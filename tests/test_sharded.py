"""A checkpoint in shards: what its loading takes of the machine's memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import ROOT
from transformers import LlamaConfig, LlamaForCausalLM

from qunlearn.models.checkpoints import save_model
from qunlearn.models.scratch import train_tokenizer
from qunlearn.settings.models import ModelSettings

PROGRAM = """
import json, sys, threading
from pathlib import Path
from qunlearn.run.imports import OPTIONAL, hide
hide(*OPTIONAL)
import torch
from transformers import Trainer  # what else a job has in memory before it loads
import transformers.models.llama.modeling_llama
from qunlearn.models.checkpoints import load_model

def own():  # MiB that no file backs: pages of mapped files are dropped when memory is short
    with open("/proc/self/status") as stream:
        return next(int(line.split()[1]) for line in stream if line.startswith("RssAnon")) / 1024

peak, done = [own()], threading.Event()
def watch():
    while not done.wait(0.001):
        peak.append(own())
watcher = threading.Thread(target=watch)
watcher.start()
model = load_model(Path(sys.argv[1]), getattr(torch, sys.argv[2]))
done.set()
watcher.join()
size = sum(weight.nbytes for weight in model.parameters()) / 2**20
print(json.dumps({"before": peak[0], "peak": max(peak), "size": size}))
"""


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """52 MB in bf16, in shards of at most 10 MB."""
    folder = tmp_path_factory.mktemp("sharded") / "model"
    torch.manual_seed(0)
    with torch.device("meta"):
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=512,
                intermediate_size=1536,
                num_hidden_layers=7,
                num_attention_heads=8,
                vocab_size=4000,
            )
        )
    model = model.to_empty(device="cpu").bfloat16()
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(std=0.02)
    tokenizer = train_tokenizer(["some text"] * 9, ModelSettings(vocabulary=300))
    save_model(model, tokenizer, folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="10MB")
    assert len(list(folder.glob("model-*.safetensors"))) > 4
    return folder


def test_a_model_is_in_memory_once(sharded: Path) -> None:
    """In another dtype than the files have, so that nothing can stay in them."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(sharded), "float32"],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    taken = found["peak"] - found["before"]
    assert 0.9 * found["size"] < taken < 1.2 * found["size"], found
