"""Evaluate candidates of a grid, or a reference, on the questions that settings are chosen on.

Args:
    models: checkpoints or LoRA adapters, named by their folders; a diverged one is reported
        as such.
    corpus: folder with the questions that settings are chosen on; all of them are used.
    settings: how the models are evaluated.
    output: JSON file of each model's scores and the items behind them, by its name.
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

    from qunlearn.analysis.selection.questions import evaluate_candidate
    from qunlearn.corpora import layout
    from qunlearn.run.files import write_json

    questions = layout.load(corpus)
    found = {model.name: evaluate_candidate(model, base, questions, settings) for model in models}
    write_json(output, {"settings": asdict(settings), "models": found})
