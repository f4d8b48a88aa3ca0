"""Evaluate one model at several precisions, without writing it in any."""

from pathlib import Path

from qunlearn.checkpoints import is_adapter
from qunlearn.cli import run_script
from qunlearn.settings.evaluation import EvaluateSettings


def main(
    source: Path,
    precisions: tuple[str, ...],
    corpus: Path,
    settings: EvaluateSettings,
    output: Path,
    base: Path | None = None,
    retrain: Path | None = None,
) -> None:
    """Quantize a model in memory and ask it, a precision after the other.

    The model is read, and merged, once. For each precision the same files are written as by
    quantize.py and evaluate.py, into a folder of its name. The host's memory holds the model in
    float32 and, until it is on the GPU, the copy that is asked.

    Args:
        source: checkpoint or adapter folder.
        precisions: bf16, int8, fp4, nf4, rtn<bits> or rtn<bits>g<group>.
        corpus: corpus folder.
        settings: how the model is asked.
        output: folder of the precisions' folders; previous ones of the same names are replaced.
        base: checkpoint that the adapter was trained on; needed for an adapter.
        retrain: privleak.jsonl of the retrain model at the reference precision. Leave it out only
            when the source is that very model: the first precision is then the others' reference.
    """
    from qunlearn import imports
    from qunlearn.errors import InputError
    from qunlearn.precision import BITSANDBYTES, Precision

    wanted = [Precision.parse(name) for name in precisions]
    for precision in wanted:
        if precision.method == "gptq":
            raise InputError(
                f"precision '{precision.name}' calibrates on texts: use quantize_gptq.py, "
                "then evaluate.py"
            )
    adapter = is_adapter(source)
    used = {"bitsandbytes"} if any(each.method in BITSANDBYTES for each in wanted) else set()
    imports.hide(*(set(imports.OPTIONAL) - used - ({"peft"} if adapter else set())))

    from qunlearn.corpora import layout
    from qunlearn.evaluate import records
    from qunlearn.evaluate.in_memory import Evaluator
    from qunlearn.files import new_folder
    from qunlearn.provenance import Stopwatch, write_manifest

    loaded = layout.load(corpus)
    inputs = {"source": source, "corpus": corpus}
    if adapter and base is not None:
        inputs["base"] = base
    if retrain is not None:
        records.read(retrain, records.PRIVLEAK)  # a wrong path is told before an hour of asking
    evaluator = Evaluator(source, base, wanted)
    for precision in wanted:
        stopwatch = Stopwatch()
        with new_folder(output / precision.name) as folder:
            facts = evaluator.evaluate(precision, loaded, retrain, settings, folder)
            write_manifest(
                folder,
                step="evaluate",
                settings=settings,
                inputs=inputs if retrain is None else {**inputs, "retrain": retrain},
                stopwatch=stopwatch,
                precision=precision.name,
                **facts,
            )
        retrain = retrain or output / precision.name / records.PRIVLEAK


if __name__ == "__main__":
    run_script(main)
