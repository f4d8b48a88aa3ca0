"""Score the forecasts of finished experiments by what came back, and judge the predictions.

Writes scored.csv and score.md.

Args:
    results: the folder of each experiment, with tables/.
    output: the folder of the two files.
    sealed: whether each forecast must be older than every evaluation of an unlearned model.
    predictions: the YAML file of what the rule foretells.
"""

from pathlib import Path

from qunlearn.run.cli import run_script

RESOURCES = Path(__file__).parents[2] / "resources"


@run_script
def main(
    results: tuple[Path, ...],
    output: Path,
    sealed: bool = False,
    predictions: Path = RESOURCES / "predictions.yaml",
) -> None:
    import pandas as pd

    from qunlearn.analysis.forecast_scores import scored, write_scored
    from qunlearn.analysis.predictions import answers, read_predictions
    from qunlearn.report.forecast_tables import predictions_markdown, score_markdown
    from qunlearn.run.files import write_text

    found = pd.concat([scored(one, sealed) for one in results], ignore_index=True)
    write_scored(output / "scored.csv", found)
    foretold = predictions_markdown(answers(read_predictions(predictions), found))
    write_text(output / "score.md", f"{score_markdown(found)}\n{foretold}")
