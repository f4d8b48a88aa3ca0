"""What it changes that a GPU evaluates in bfloat16 and a CPU in float32: both here, on the CPU.

The quantized models of the default experiment's first seed, each asked twice: as `evaluate.py` does
it on a CPU, and with weights and arithmetic in bfloat16. The codes are the same.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from benchmarks.harness import ROOT, Comparison, keep
from qunlearn.corpora import layout
from qunlearn.evaluate import records, scoring
from qunlearn.evaluate.evaluate import Evaluation
from qunlearn.models.checkpoints import load_tokenizer
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.cli import run_script
from qunlearn.run.files import read_json, write_jsonl
from qunlearn.run.manifest import MANIFEST
from qunlearn.settings.evaluation import EvaluateSettings

MODELS = ("target", "npo_klr/full/seed0", "npo_klr/full_bf16/seed0", "npo_klr/lora/seed0")
PRECISIONS = ("bf16", "nf4", "fp4", "gptq4", "rtn3g64")
ASKED = ("verbmem", "knowmem", "utility", "privleak")
DTYPES = (torch.float32, torch.bfloat16)
BOUND_BY = (
    "bfloat16 has 8 significant bits: a weight or a state moves by up to 0.4 %, an NF4 grid moves "
    "it by 9 % of its size. A greedy continuation can change where two tokens are nearly as likely."
)


def metrics(
    quantized: Path,
    precision: str,
    corpus: layout.Corpus,
    settings: EvaluateSettings,
    retrain: Path,
) -> list[dict[str, float]]:
    """The metrics of a model, by name, in each of `DTYPES`."""
    found, parsed = [], Precision.parse(precision)
    for dtype in DTYPES:
        model = method_of(parsed).load(quantized, parsed, dtype, torch.device("cpu"))
        made = Evaluation(model.eval(), load_tokenizer(quantized), corpus, settings).records()
        assert made is not None, f"{quantized}: not a number"
        with TemporaryDirectory() as folder:
            for name in records.FIELDS:
                write_jsonl(Path(folder, name), made[name])
            scored = scoring.score(Path(folder), retrain, settings.stemmer)["metrics"]
        found.append({name: one["value"] for name, one in scored.items()})
    return found


def main(results: Path = ROOT / "results/mini") -> None:
    """Ask all models twice and keep the differences.

    Args:
        results: of the default experiment.
    """
    corpus = layout.load(results / "data/news")
    retrain = results / "eval/news/retrain/bf16" / records.PRIVLEAK
    made = read_json(results / "eval/news/target/bf16" / MANIFEST)
    settings = EvaluateSettings(**made["settings"])
    losses, moved = [], {}
    for precision in PRECISIONS:
        largest = dict.fromkeys(ASKED, 0.0)
        for model in MODELS:
            folder = results / "quantized/news" / model / precision
            full, half = metrics(folder, precision, corpus, settings, retrain)
            pair = [half["nll_forget"]], [full["nll_forget"]]
            losses.append(Comparison(f"{model}, {precision}", "nats a token", *pair, "share"))
            for name in ASKED:
                largest[name] = max(largest[name], abs(half[name] - full[name]))
        moved[precision] = {name: round(value, 2) for name, value in largest.items()}
    keep("sixteen_bits", losses, BOUND_BY, largest_difference_of_4_models=moved)


if __name__ == "__main__":
    run_script(main)
