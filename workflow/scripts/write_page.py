"""Write a page of an experiment's report.

Args:
    page: story, answer, configuration, or a table of the experiment, e.g. reversion.
    results: the experiment's folder, whose tables are read.
    settings: the resolved configuration, as JSON.
    output: the page: reStructuredText for story, text for answer, HTML for the others.
"""

from pathlib import Path

from qunlearn.run.cli import run_script


@run_script
def main(page: str, results: Path, settings: str, output: Path) -> None:
    import json

    from qunlearn.report.pages import report_page
    from qunlearn.run.files import write_text

    write_text(output, report_page(page, results, json.loads(settings)))
