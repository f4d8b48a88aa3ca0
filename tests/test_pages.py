"""The report's pages of tables, configuration and versions, read as HTML."""

import json
import re
from pathlib import Path
from typing import Any

from qunlearn.report.pages import configuration_page, markdown_page, provenance_page, report_page
from qunlearn.report.processors import manifests


def manifest(folder: Path, **facts: Any) -> dict[str, Any]:
    content = {
        "step": folder.parts[-3],
        "git_commit": "0123456789abcdef+changed",
        "python": "3.11.7",
        "device": "cpu",
        "threads": "1",
        "packages": {"torch": "2.0"},
        "wall_seconds": 1.5,
        "peak_memory_mib": 100,
    } | facts
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")
    return content


def test_a_markdown_table_becomes_one_of_html_and_html_in_it_stays_text() -> None:
    text = markdown_page("Reversion", "| a | b |\n| --- | --: |\n| <b>x</b> | 0.5 |\n")
    assert "<th>a</th>" in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    assert "http" not in text


def test_a_page_is_chosen_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/reversion.md").write_text("| a |\n| --- |\n| 0.5 |\n", encoding="utf-8")
    table, configuration = (
        report_page(name, tmp_path, {"seeds": [0]}, [], [])
        for name in ("reversion", "configuration")
    )
    assert "<h1>Reversion</h1>" in table and "<td>0.5</td>" in table
    assert "<pre>seeds:\n- 0\n</pre>" in configuration


def test_the_configuration_is_shown_as_yaml_in_its_own_order() -> None:
    text = configuration_page({"experiment": "a<b", "seeds": [0]})
    assert "<pre>experiment: a&lt;b\nseeds:\n- 0\n</pre>" in text


def test_manifests_are_those_behind_the_cells_and_no_others(tmp_path: Path) -> None:
    wanted = [
        manifest(tmp_path / "data/news", step="corpus"),
        manifest(tmp_path / "models/news/target"),
        manifest(tmp_path / "unlearned/news/npo_gdr/lora/seed0"),
        manifest(tmp_path / "eval/news/npo_gdr/lora/seed0/nf4"),
    ]
    manifest(tmp_path / "unlearned/news/npo_gdr/lora/seed1")
    manifest(tmp_path / "eval/news/npo_gdr/lora/seed0/rtn4")
    cells = ["news/target/nf4", "news/npo_gdr/lora/seed0/nf4", "news/npo_gdr/spare_x/seed0/nf4"]
    assert manifests(tmp_path, cells) == wanted


def test_jobs_are_added_up_by_step_and_surroundings(tmp_path: Path) -> None:
    first = manifest(tmp_path / "a/b/c", step="unlearn")
    second = manifest(tmp_path / "a/b/d", step="unlearn", wall_seconds=2.0, peak_memory_mib=300)
    other = manifest(tmp_path / "a/b/e", step="unlearn", packages={"torch": "3.0"})
    text = provenance_page([first, second, other])
    cells = re.sub(r">\s+<", "><", text)
    same = "<td>0123456789ab+changed</td><td>3.11.7</td><td>cpu</td><td>1</td>"
    assert f"<td>unlearn</td>{same}<td>1</td><td>2</td><td>3.5</td><td>300</td>" in cells
    assert f"<td>unlearn</td>{same}<td>2</td><td>1</td><td>1.5</td><td>100</td>" in cells
    assert "<td>2</td><td>torch 3.0</td>" in cells
