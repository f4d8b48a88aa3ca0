"""Fetch a checkpoint from the hub, a GGUF file or a folder into the workflow.

Args:
    source: hub:<id>, gguf:<file>, or a checkpoint folder.
    output: folder to write; a previous one is replaced.
    source_revision: commit of the hub's repository, 40 hex digits.
    tokenizer: where another tokenizer comes from, written like source; empty keeps its own.
    tokenizer_revision: commit of the tokenizer's repository.
"""

from pathlib import Path

from qunlearn.run.cli import hide_unused, run_script


@run_script
def main(
    source: str,
    output: Path,
    source_revision: str = "",
    tokenizer: str = "",
    tokenizer_revision: str = "",
) -> None:
    hide_unused()
    from dataclasses import replace

    from qunlearn.models.fetching import fetch
    from qunlearn.models.sources import parse

    other = replace(parse(tokenizer), revision=tokenizer_revision) if tokenizer else None
    fetch(replace(parse(source), revision=source_revision), output, other)
