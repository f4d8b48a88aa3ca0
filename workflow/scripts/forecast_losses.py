"""Forecast from the weights alone on which grids each update is lost: forecast.{csv,md}.

Args:
    results: the experiment's folder, with survival/ and records/.
    cells: of the tables, <corpus>/<model id>/<precision> each.
    output: the folder of the two files.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(results: Path, cells: tuple[str, ...], output: Path) -> None:
    from qunlearn.analysis.forecasts import forecast, write_forecast
    from qunlearn.report.forecast_tables import forecast_markdown
    from qunlearn.run.files import write_text

    found = forecast(results, cells)
    write_forecast(output / "forecast.csv", found)
    write_text(output / "forecast.md", forecast_markdown(found))
