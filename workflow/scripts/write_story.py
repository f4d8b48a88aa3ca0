"""Write the start page of an experiment's report."""

from pathlib import Path

from qunlearn.run.cli import run_script


def main(
    mechanism: Path,
    summary: Path,
    tests: Path,
    claims: Path,
    settings: str,
    output: Path,
    notes: tuple[str, ...] = (),
) -> None:
    """Write the start page of an experiment's report: its story in words, from its numbers.

    Args:
        summary: summary.csv, every metric over seeds and items.
        mechanism: mechanism.csv, what the grids left of each update.
        tests: tests.csv, the paired tests.
        claims: claims.csv, the verdicts.
        settings: the resolved configuration, as JSON.
        output: the page, in reStructuredText.
        notes: sentences on how the models were trained.
    """
    import json

    from qunlearn.analysis.summary import summaries
    from qunlearn.report.story import MECHANISM, story
    from qunlearn.report.storynumbers import read_table
    from qunlearn.run.files import write_text

    text = story(
        summaries(summary),
        read_table(mechanism, *MECHANISM),
        json.loads(settings),
        read_table(tests, "family", "p_holm"),
        read_table(claims, "claim", "verdict"),
        notes,
    )
    write_text(output, text)


if __name__ == "__main__":
    run_script(main)
