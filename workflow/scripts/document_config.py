"""Write the table of every configuration key from the schema."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(schema: Path, output: Path) -> None:
    """Write the table of every configuration key from the schema.

    Args:
        schema: the JSON schema of the configuration.
        output: the Markdown file to write.
    """
    from qunlearn.experiment.config import load_schema
    from qunlearn.experiment.configdoc import as_markdown
    from qunlearn.run.files import write_text

    write_text(output, as_markdown(load_schema(schema)))


if __name__ == "__main__":
    run_script(main)
