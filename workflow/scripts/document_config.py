"""Write the table of every configuration key."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(output: Path) -> None:
    """Write the table of every configuration key.

    Args:
        output: the Markdown file to write.
    """
    from qunlearn.experiment.configdoc import as_markdown
    from qunlearn.run.files import write_text

    write_text(output, as_markdown())


if __name__ == "__main__":
    run_script(main)
