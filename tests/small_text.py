"""Markdown tables without the spaces that line up their columns."""

import re


def unpadded(text: str) -> str:
    """`| a   |   b |` -> `| a | b |`."""
    return re.sub(r" +", " ", text)
