"""HTML pages of the report that need no other file: tables, the configuration, what ran where."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import yaml
from markdown_it import MarkdownIt

from qunlearn.analysis.metrics import REFERENCES, Cell
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

_STYLE = """\
:root { color-scheme: light dark; --line: #8888; --faint: #8882; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 90rem; }
body { padding: 0 1rem; }
h1 { font-size: 1.3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; white-space: nowrap; }
table + table { margin-top: 1.5rem; white-space: normal; }
th, td { padding: .2rem .7rem; text-align: left; }
thead th { border-bottom: 2px solid var(--line); }
tbody tr:hover { background: var(--faint); }"""
_HEADS = (
    *("Step", "Jobs", "Seconds, all jobs", "Peak memory (MiB)"),
    *("Commit", "Python", "Device", "Threads", "Packages"),
)
_ENVIRONMENT = ("python", "device", "threads")


def page(title: str, body: str) -> str:
    """A page in the look of the main table."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>\n{_STYLE}\n</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<div class="wide">\n{body}\n</div>\n</body>\n</html>\n'
    )


def markdown_page(title: str, text: str) -> str:
    """A table of the experiment that was written as Markdown."""
    return page(title, MarkdownIt("commonmark", {"html": False}).enable("table").render(text))


def configuration_page(settings: Mapping[str, Any]) -> str:
    """Every key as it was used, those left at their default too, as YAML."""
    shown = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    return page("Configuration", f"<pre>{escape(shown)}</pre>")


def manifests(results: Path, cells: Sequence[str]) -> list[Mapping[str, Any]]:
    """The manifests behind `cells`, from the corpus to the evaluation.

    Of a model that does not stay, the manifest is in `records/`. What is not there either was given
    by the user, or was quantized and removed once it was evaluated.

    Args:
        results: the experiment's folder.
        cells: `<corpus>/<model id>/<precision>` each.

    Raises:
        InputError: a manifest does not parse.
    """
    parsed = [Cell.parse(name) for name in cells]
    folders: list[str] = []
    for corpus in distinct(cell.corpus for cell in parsed):
        folders += [f"data/{corpus}", f"models/{corpus}/base"]
    for name, cell in zip(cells, parsed, strict=True):
        model = name.rpartition("/")[0]
        if cell.objective in REFERENCES:
            folders.append(f"models/{model}")
        elif not cell.adapter.startswith(SPARE):
            folders.append(f"unlearned/{model}")
    folders += [f"{stage}/{name}" for stage in ("quantized", "eval") for name in cells]
    found = []
    for folder in distinct(folders):
        places = (results / folder / MANIFEST, results / "records" / folder / MANIFEST)
        found += [read_json(file) for file in places if file.is_file()][:1]
    return found


def provenance_page(found: Iterable[Mapping[str, Any]]) -> str:
    """A row for each step and surroundings: jobs, seconds, memory; then the packages of each."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for content in found:
        commit, separator, changed = str(content.get("git_commit") or "unknown").partition("+")
        others = (str(content.get(key) or "unknown") for key in _ENVIRONMENT)
        packages = ", ".join(f"{name} {number}" for name, number in content["packages"].items())
        key = (content["step"], commit[:12] + separator + changed, *others, packages)
        groups.setdefault(key, []).append(content)
    sets = distinct(key[-1] for key in groups)
    rows = []
    for (step, *surroundings, packages), group in groups.items():
        seconds = sum(content["wall_seconds"] for content in group)
        memory = max(content["peak_memory_mib"] for content in group)
        cells = (step, len(group), f"{seconds:.1f}", memory)
        rows.append((*cells, *surroundings, sets.index(packages) + 1))
    return page(
        "What ran, with what",
        f"{_table(_HEADS, rows)}\n{_table(('Packages', 'Versions'), enumerate(sets, start=1))}",
    )


def _table(heads: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in heads)
    lines = ["".join(f"<td>{escape(str(cell))}</td>" for cell in row) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    return f"<table>\n<thead>\n<tr>{head}</tr>\n</thead>\n<tbody>\n{body}\n</tbody>\n</table>"
