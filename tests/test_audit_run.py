"""An audit's models: all of it once, what is refused before, and the command."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from conftest import Snakemake
from small_audit import SCHEMA, adapter, audit_config, make_models, write
from small_corpora import script
from survival_models import save, small_llama

from qunlearn import __main__ as command
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve
from qunlearn.experiment.inputs import check_given
from qunlearn.models.updates import check_adapter
from qunlearn.preflight import preflight
from qunlearn.quantize.executed import executed
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_models(tmp_path_factory.mktemp("audited"))


def test_an_audit_from_text_to_page(models: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    write(tmp_path / "audit.yaml", yaml.safe_dump(audit_config(models)))
    done = snakemake(tmp_path, "--configfile", "audit.yaml")
    assert done.returncode == 0, done.stderr[-3000:]
    results = tmp_path / "results/audit"
    made = read_json(results / "tables/audit.json")
    jsonschema.validate(made, json.loads(SCHEMA.read_text()))
    verdicts = {
        own["format"]: {one["metric"]: one["verdict"] for one in own["metrics"]}
        for own in made["formats"]
    }
    assert verdicts["rtn8"]["nll_forget"] == "survives"
    assert verdicts["rtn3g64"]["nll_forget"] == "reverts"
    assert made["formats"][1]["metrics"][1]["reversion"]["value"] == pytest.approx(1, abs=1e-4)
    assert {own["metric"]: own["remembered"] for own in made["control"]}["nll_forget"]
    assert made["failed"]
    assert {*made["absent"]} == {"knowmem", "privleak", "utility"}
    assert made["formats"][0]["usefulness"]["metric"] == "nll_retain"
    evaluated = read_json(results / "eval/text/given/after/rtn8/metrics.json")["metrics"]
    assert {*evaluated} == {"verbmem", "nll_forget", "nll_retain"}
    judged = read_json(results / "eval/text/given/after/rtn8/manifest.json")["inputs"]["model"]
    assert made["formats"][0]["proof"]["sha256"] == judged
    assert made["formats"][0]["proof"]["differing"] > 0.5
    assert (results / "tables/audit.md").read_text().startswith("# Failed")
    for name in ("figures/survival_of_forgetting.png", "report/audit.html"):
        assert (results / name).exists()


def test_a_silent_fallback_is_an_error(models: Path, tmp_path: Path) -> None:
    made, after = tmp_path / "made", models / "after"
    script("quantize.py")(after, "rtn8", made)
    found = executed(made, "rtn8", after, None)
    assert 0.5 < found.fewest <= found.differing <= 1
    assert found.library == f"torch {torch.__version__}"
    shutil.copyfile(after / "model.safetensors", made / "model.safetensors")
    with pytest.raises(InputError, match="no weight differs"):
        executed(made, "rtn8", after, None)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda own: own["corpus"].update(forget=None), "'corpus.forget' is not set"),
        (lambda own: own["models"].update(after=None), "nothing to unlearn"),
        (lambda own: own["models"].update(target="train"), "text is for auditing given models"),
        (lambda own: own["unlearn"].update(objectives=["npo"]), "is audited alone"),
        (lambda own: own.update(precisions=["bf16"]), "bf16 alone"),
        (lambda own: own.update(corpora=["a", "b"]), "text makes one corpus"),
        (lambda own: own["models"].update(after="train"), "'train' is not for after"),
        (lambda own: own.update(audit={"fail_if": ["gone"]}), "audit.fail_if"),
    ],
)
def test_configurations_that_contradict_themselves(
    change: Callable[[dict[str, Any]], None], problem: str, models: Path
) -> None:
    own = audit_config(models)
    change(own)
    with pytest.raises(InputError, match=problem):
        resolve(own)


def test_an_adapter_of_another_base(models: Path, tmp_path: Path) -> None:
    (warning,) = check_adapter(models / "before", adapter(tmp_path / "own"))
    assert "names the base x/other" in warning
    wide, deep = adapter(tmp_path / "wide", width=32), adapter(tmp_path / "deep", layer=7)
    with pytest.raises(InputError, match=r"q_proj is \[64, 32\], and \[64, 64\]"):
        list(check_adapter(models / "before", wide))
    with pytest.raises(InputError, match="touches no matrix"):
        list(check_adapter(models / "before", deep))


def test_models_and_formats_that_do_not_fit_are_refused_at_the_door(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def door(**changes: Any) -> list[str]:
        full = resolve(audit_config(models, **changes))
        check_given(full)
        return preflight(full, tmp_path / "results", cluster=False, python=sys.executable)[0]

    door()
    target = {"target": str(models / "before"), "retrain": None}
    wider = save(small_llama(128), tmp_path / "wider")
    with pytest.raises(InputError, match="not of one shape"):
        door(models=target | {"after": str(wider)})
    door(models=target | {"after": str(adapter(tmp_path / "adapter"))})
    monkeypatch.setattr("qunlearn.preflight.find_spec", lambda name: name != "bitsandbytes" or None)
    with pytest.raises(InputError, match="nf4 needs bitsandbytes"):
        door(precisions=["bf16", "nf4"])
    no_retain = {"source": "text", "forget": str(models / "forget.txt")}
    no_retain["text"] = {"characters": 60, "prompt": 20}  # type: ignore[assignment]
    with pytest.raises(InputError, match="gptq4g32 calibrates on text to keep"):
        door(corpus=no_retain, precisions=["bf16", "gptq4g32"])


# --- The command --------------------------------------------------------------------------------


@pytest.mark.parametrize(("made", "code"), [(True, 1), (False, 0), (None, 2)])
def test_the_command_writes_a_configuration_and_exits_by_the_verdict(
    made: bool | None, code: int, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(words: list[str], cwd: Path) -> "subprocess.CompletedProcess[str]":
        read = configfiles.read([Path(words[-1])])
        assert read["models"]["after"] == str(models / "after")
        assert read["precisions"] == ["bf16", "nf4"]
        tables = cwd / "results/audit/tables"
        tables.mkdir(parents=True)
        write(tables / "audit.md", "page")
        write(tables / "audit.json", json.dumps({"failed": made}))
        return subprocess.CompletedProcess(words, int(made is None))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.chdir(models)
    with pytest.raises(SystemExit) as end:
        command.audit(
            "before", "after", Path("forget.txt"), formats=("nf4",), output=tmp_path / "out"
        )
    assert end.value.code == code
    assert (tmp_path / "out/audit.md").exists() == (made is not None)
