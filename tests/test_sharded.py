"""A checkpoint in shards: what its loading takes of the machine's memory."""

import json
import subprocess
import sys
from pathlib import Path

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
model = load_model(Path(sys.argv[1]), torch.float32)
done.set()
watcher.join()
size = sum(weight.nbytes for weight in model.parameters()) / 2**20
print(json.dumps([(max(peak) - peak[0]) / size, size]))
"""


def test_a_model_in_shards_is_in_memory_once(tmp_path: Path) -> None:
    """In another dtype than the files have, so that nothing can stay in them."""
    torch.manual_seed(0)
    shape = {"hidden_size": 512, "intermediate_size": 1536, "num_attention_heads": 8}
    config = LlamaConfig(**shape, num_hidden_layers=7, vocab_size=4000)
    model = LlamaForCausalLM(config).bfloat16()  # 52 MB
    save_model(model, train_tokenizer(["some text"] * 9, ModelSettings(vocabulary=300)), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    model.save_pretrained(tmp_path, max_shard_size="10MB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 4
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path)],
        env={"PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    taken, size = json.loads(done.stdout)
    assert 0.9 < taken < 1.2, size
