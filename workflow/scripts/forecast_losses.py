"""Forecast from the weights alone on which grids each update is lost: tables/forecast.csv.

Args:
    results: the experiment's folder, with survival/ and records/.
    cells: of the tables, <corpus>/<model id>/<precision> each.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(results: Path, cells: tuple[str, ...]) -> None:
    from qunlearn.analysis.forecasts import forecast, write_forecast

    write_forecast(results / "tables/forecast.csv", forecast(results, cells))
