"""Prove that a model was quantized: count the weights that its library reads back differently.

Args:
    model: output folder of quantize.py.
    precision: the precision that it was quantized to, e.g. nf4.
    source: the dense checkpoint or LoRA adapter that was quantized.
    output: JSON file to write.
    base: the checkpoint that an adapter was merged into.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script


@run_script
def main(model: Path, precision: str, source: Path, output: Path, base: Path | None = None) -> None:
    from qunlearn.quantize.method import method_of
    from qunlearn.run.files import write_json

    hide_unused(*(method_of(precision).packages & {"bitsandbytes"}))
    from qunlearn.quantize.executed import executed

    write_json(output, executed(model, precision, source, base)._asdict())
