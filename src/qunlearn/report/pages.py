"""The pages of the report that need no other file: story, tables, configuration, what ran where."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markdown_it import MarkdownIt

from qunlearn.analysis.summary import distinct
from qunlearn.report.html_page import html_table, page
from qunlearn.report.processors import manifests
from qunlearn.report.story import experiment_story

_ENVIRONMENT = ("python", "device", "threads")


def report_page(
    name: str,
    results: Path,
    settings: Mapping[str, Any],
    cells: Sequence[str],
    notes: Sequence[str],
) -> str:
    """A page of the report, as reStructuredText (`story`) or HTML (the others).

    Args:
        name: `story`, `configuration`, `versions`, or a table that is there as Markdown.
        results: the experiment's folder.
        settings: the resolved configuration.
        cells: `<corpus>/<model id>/<precision>` each.
        notes: sentences on how the models were trained.

    Raises:
        InputError: a CSV table or a manifest is missing or broken.
    """
    if name == "story":
        return experiment_story(results / "tables", settings, notes)
    if name == "configuration":
        return configuration_page(settings)
    if name == "versions":
        return provenance_page(manifests(results, cells))
    text = (results / f"tables/{name}.md").read_text(encoding="utf-8")
    return markdown_page(name.capitalize(), text)


def markdown_page(title: str, text: str) -> str:
    """A table of the experiment that was written as Markdown."""
    return page(title, MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def configuration_page(settings: Mapping[str, Any]) -> str:
    """Every key as it was used, those left at their default too, as YAML."""
    shown = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    return page("Configuration", f"<pre>{escape(shown)}</pre>")


def provenance_page(found: Iterable[Mapping[str, Any]]) -> str:
    """A row for each step and environment: jobs, seconds, memory; then the packages of each."""
    jobs = pd.DataFrame(map(_job, found))
    sets = distinct(jobs["Packages"])
    jobs["Packages"] = [sets.index(packages) + 1 for packages in jobs["Packages"]]
    keys = ["Step", "Commit", "Python", "Device", "Threads", "Packages"]
    steps = jobs.groupby(keys, sort=False, as_index=False).agg(
        **{
            "Jobs": ("seconds", "size"),
            "Seconds, all jobs": ("seconds", "sum"),
            "Peak memory (MiB)": ("memory", "max"),
        }
    )
    packages = pd.DataFrame({"Packages": range(1, len(sets) + 1), "Versions": sets})
    shown = [html_table(table, index=False, float_format="%.1f") for table in (steps, packages)]
    return page("What ran, with what", "\n".join(shown))


def _job(content: Mapping[str, Any]) -> dict[str, Any]:
    commit, separator, changed = str(content.get("git_commit") or "unknown").partition("+")
    return {
        "Step": content["step"],
        "Commit": commit[:12] + separator + changed,
        **{key.capitalize(): str(content.get(key) or "unknown") for key in _ENVIRONMENT},
        "Packages": ", ".join(f"{name} {number}" for name, number in content["packages"].items()),
        "seconds": content["wall_seconds"],
        "memory": content["peak_memory_mib"],
    }
