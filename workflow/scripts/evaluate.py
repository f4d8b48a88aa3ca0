"""Evaluate one model at one precision.

Writes one line per item (*.jsonl) and metrics.json. A diverged model gets empty records.

Args:
    model: output folder of quantize.py.
    precision: the precision that it was quantized to, e.g. nf4.
    corpus: corpus folder.
    settings: how the model is evaluated.
    output: folder to write; a previous one is replaced.
    retrain: privleak.jsonl of the retrain model at the reference precision, to which PrivLeak is
        relative. Leave it out only when evaluating that very model, or on a corpus without
        holdout texts.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script
from qunlearn.settings.evaluation import EvaluateSettings


@run_script
def main(
    model: Path,
    precision: str,
    corpus: Path,
    settings: EvaluateSettings,
    output: Path,
    retrain: Path | None = None,
) -> None:
    from qunlearn.quantize.method import method_of

    # All but what bitsandbytes packs is read by our own code.
    hide_unused(*(method_of(precision).packages & {"bitsandbytes"}))

    from qunlearn.corpora import layout
    from qunlearn.evaluate import evaluate as evaluation
    from qunlearn.evaluate import records
    from qunlearn.run.files import new_folder
    from qunlearn.run.manifest import MODEL_INPUTS, inputs_of, write_manifest

    loaded = layout.load(corpus)
    if retrain is not None:
        records.read(retrain, records.PRIVLEAK)  # a wrong path fails here, not an hour later
    with new_folder(output) as folder:
        facts = evaluation.evaluate(model, precision, loaded, retrain, settings, folder)
        facts |= {"precision": precision, MODEL_INPUTS: inputs_of(model)}
        inputs = {"model": model, "corpus": corpus, "retrain": retrain}
        write_manifest(folder, "evaluate", settings, inputs, **facts)
