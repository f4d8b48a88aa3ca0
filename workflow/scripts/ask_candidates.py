"""Ask candidates of a grid, or a reference, what they know: the ground that one is chosen on.

Args:
    models: checkpoints or LoRA adapters, known by their folders' names; a diverged one is
        told so.
    corpus: folder with the questions that settings are chosen on; all of them are asked.
    settings: how the models are asked.
    output: JSON file: name of a model -> its scores, and the items behind them.
    base: checkpoint that adapters were trained on.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script
from qunlearn.settings.evaluation import EvaluateSettings


@run_script
def main(
    models: tuple[Path, ...],
    corpus: Path,
    settings: EvaluateSettings,
    output: Path,
    base: Path | None = None,
) -> None:
    from dataclasses import asdict

    from qunlearn.models.checkpoints import is_adapter

    hide_unused(*(["peft"] if any(map(is_adapter, models)) else []))

    from qunlearn.analysis.selection.questions import ask
    from qunlearn.corpora import layout
    from qunlearn.run.files import write_json

    questions = layout.load(corpus)
    found = {model.name: ask(model, base, questions, settings) for model in models}
    write_json(output, {"settings": asdict(settings), "models": found})
