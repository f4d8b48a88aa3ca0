"""Write the report's pages on the configuration and on what ran with which versions."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(results: Path, cells: tuple[str, ...], settings: str, output: Path) -> None:
    """Write the report's pages on the configuration and on what ran with which versions.

    Args:
        results: the experiment's folder, whose manifests are read.
        cells: the cells of the tables, <corpus>/<model id>/<precision>.
        settings: the resolved configuration, as JSON.
        output: the folder that configuration.html and versions.html are written into.
    """
    import json

    from qunlearn.report.pages import configuration_page, manifests, provenance_page
    from qunlearn.run.files import write_text

    write_text(output / "configuration.html", configuration_page(json.loads(settings)))
    write_text(output / "versions.html", provenance_page(manifests(results, cells)))


if __name__ == "__main__":
    run_script(main)
