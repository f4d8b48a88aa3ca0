"""Forecast from the weights alone on which grids each update is lost: forecast.csv.

Args:
    results: the experiment's folder, with survival/ and records/.
    cells: of the tables, <corpus>/<model id>/<precision> each.
    output: the folder of the file.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(results: Path, cells: tuple[str, ...], output: Path) -> None:
    from qunlearn.analysis.forecasts import forecast, write_forecast

    write_forecast(output / "forecast.csv", forecast(results, cells))
