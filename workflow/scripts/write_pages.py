"""Write HTML pages of tables that are there as Markdown."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(tables: tuple[Path, ...], output: Path) -> None:
    """Write HTML pages of tables that are there as Markdown.

    Args:
        tables: Markdown files, e.g. reversion.md.
        output: the folder that a page of the same name is written into for each.
    """
    from qunlearn.report.pages import markdown_page
    from qunlearn.run.files import write_text

    for table in tables:
        text = table.read_text(encoding="utf-8")
        write_text(output / f"{table.stem}.html", markdown_page(table.stem.capitalize(), text))


if __name__ == "__main__":
    run_script(main)
