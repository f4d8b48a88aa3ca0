"""The pages of the report: story, answer, tables, configuration, what ran where."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markdown_it import MarkdownIt

from qunlearn.report.footnotes import learning_rates, manifests
from qunlearn.report.story import answer, story
from qunlearn.report.templates import html_table, page

_KEYS = ["Step", "Commit", "Python", "Device", "Threads", "Packages"]


def report_page(name: str, results: Path, settings: dict[str, Any], cells: Sequence[str]) -> str:
    """A page of the report: reStructuredText (`story`), plain text (`answer`) or HTML (the others).

    Args:
        name: `story`, `answer`, `configuration` (every key as it was used), `versions`, or a table
            that is there as Markdown.
        results: the experiment's folder.
        settings: the resolved configuration.
        cells: `<corpus>/<model id>/<precision>` each.

    Raises:
        InputError: a CSV table or a manifest is missing or broken.
    """
    match name:
        case "story":
            return story(results / "tables", settings, [learning_rates(settings)])
        case "answer":
            return answer(results, settings)
        case "configuration":
            shown = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
            return page("Configuration", f"<pre>{escape(shown)}</pre>")
        case "versions":
            return provenance_page(manifests(results, cells))
    text = (results / f"tables/{name}.md").read_text(encoding="utf-8")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return page(name.capitalize(), body)


def provenance_page(found: Iterable[Mapping[str, Any]]) -> str:
    """A row for each step and environment: jobs, seconds, memory; then the packages of each."""
    jobs = pd.DataFrame(map(_job, found))
    jobs["Packages"], sets = pd.factorize(jobs["Packages"])
    steps = jobs.groupby(_KEYS, sort=False, as_index=False).agg(
        **{
            "Jobs": ("seconds", "size"),
            "Seconds, all jobs": ("seconds", "sum"),
            "Peak memory (MiB)": ("memory", "max"),
        }
    )
    steps["Packages"] += 1
    packages = pd.DataFrame({"Packages": range(1, len(sets) + 1), "Versions": sets})
    shown = [html_table(table, index=False, float_format="%.1f") for table in (steps, packages)]
    return page("What ran, with what", "\n".join(shown))


def _job(content: Mapping[str, Any]) -> dict[str, Any]:
    commit, separator, changed = str(content.get("git_commit") or "unknown").partition("+")
    surroundings = ("python", "device", "threads")
    return {
        "Step": content["step"],
        "Commit": commit[:12] + separator + changed,
        **{key.capitalize(): str(content.get(key) or "unknown") for key in surroundings},
        "Packages": ", ".join(f"{name} {number}" for name, number in content["packages"].items()),
        "seconds": content["wall_seconds"],
        "memory": content["peak_memory_mib"],
    }
