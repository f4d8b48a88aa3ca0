"""The audit of a user's own model: text to corpus, verdicts, what is refused, and all of it once."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
import yaml
from conftest import ROOT, Snakemake
from small_summaries import missing, number
from survival_models import grid_of, save, small_llama
from tiny_models import tiny_tokenizer

from qunlearn import __main__ as command
from qunlearn.analysis.summary import Key, Summary
from qunlearn.corpora import layout, text
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve
from qunlearn.experiment.inputs import check_given
from qunlearn.models.updates import check_adapter, quantizable_layers
from qunlearn.preflight import preflight
from qunlearn.quantize.executed import executed
from qunlearn.quantize.method import Precision, method_of
from qunlearn.report import audit
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_jsonl
from qunlearn.settings.corpora import TextSettings

SCHEMA = ROOT / "resources/audit.schema.json"
SETTINGS = TextSettings(items=3, characters=60, prompt=20)
WORDS = ["mill", "inn", "ferry", "harbour", "lantern", "rope", "wolf", "pear"]
DOCUMENTS = [
    " ".join(f"The {WORDS[(i + j) % 8]} of {place} is old." for j in range(8))
    for i, place in enumerate(["Orr", "Ense", "Quell", "Vorland", "Amble", "Tarn"])
]
CARDS = [{"question": f"Where is {word}?", "answer": f"In {word}ton."} for word in WORDS]


def write(file: Path, content: str) -> Path:
    file.write_text(content, encoding="utf-8")
    return file


# --- From text to a corpus ----------------------------------------------------------------------


def test_text_becomes_pieces_and_prompts(tmp_path: Path) -> None:
    forget = write(tmp_path / "forget.txt", "\n\n \n".join([*DOCUMENTS, "short one"]))
    corpus = text.read_corpus(SETTINGS, forget, None, False)
    assert " ".join(corpus.raw["forget"]) == " ".join([*DOCUMENTS, "short one"])
    assert max(map(len, corpus.raw["forget"])) <= 60
    assert len(corpus.privleak["forget"]) == len(corpus.verbmem["forget"]) == 3
    for item in corpus.verbmem["forget"]:
        assert f"{item['prompt']} {item['gt']}" in corpus.raw["forget"]
        assert len(item["prompt"]) <= 20
    assert {file for file in layout.FILES if corpus.items(file)} == {
        *("raw/forget.json", "verbmem/forget.json", "privleak/forget.json")
    }
    assert text.read_corpus(SETTINGS, forget, None, False) == corpus
    other = TextSettings(**{**vars(SETTINGS), "seed": 1})
    assert text.read_corpus(other, forget, None, False) != corpus


def test_questions_and_text_to_keep(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "forget.jsonl", [{"text": DOCUMENTS[0]}, *CARDS[:4]])
    write_jsonl(tmp_path / "retain.jsonl", [*({"text": one} for one in DOCUMENTS[1:]), *CARDS[4:]])
    places = tmp_path / "forget.jsonl", tmp_path / "retain.jsonl"
    corpus = text.read_corpus(SETTINGS, *places, False)
    assert len(corpus.knowmem["forget_qa"]) == 3
    assert all(card in CARDS[:4] for card in corpus.knowmem["forget_qa"])
    assert len(corpus.knowmem["retain_qa"]) == 2  # of four, the half that nothing calibrates on
    retain1, retain2 = corpus.raw["retain1"], corpus.raw["retain2"]
    assert not {*retain1} & {*retain2}
    assert {*corpus.privleak["retain"]} < {*retain2}
    layout.write(tmp_path / "made", corpus)
    with pytest.raises(InputError, match=r"retain_qa_icl\.json: no such file"):
        layout.load(tmp_path / "made")  # without a manifest it is a user's, and must be whole


def test_text_that_is_also_to_be_kept_is_named(tmp_path: Path) -> None:
    places = [write(tmp_path / name, "\n\n".join(DOCUMENTS)) for name in ("forget", "retain")]
    long = TextSettings(characters=300, prompt=20)
    assert "GPTQ would calibrate on it" in text.overlaps(text.read_corpus(long, *places, False))[0]
    write(tmp_path / "config.json", json.dumps({"prompt": DOCUMENTS[0]}))
    leaked = text.leaks(text.read_corpus(long, *places, False), tmp_path)
    assert len(leaked) == 1
    assert "config.json" in leaked[0]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("forget.txt", " \n\n\n", "no text in it"),
        ("forget.txt", "A few words.\n\nMore of them.", "no document has the 40 characters"),
        ("forget.jsonl", '{"text": "a"}\n{"question": "b"}\n', "line 2 has no text"),
        ("forget.jsonl", "[1]\n", "line 1 has no text"),
    ],
)
def test_text_that_cannot_be_used(name: str, content: str, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        text.read_corpus(SETTINGS, write(tmp_path / name, content), None, False)


# --- Verdicts -----------------------------------------------------------------------------------


def numbers(
    reversion: Summary, utility: float = 50.0, bf16: Summary | None = None
) -> dict[Key, Summary]:
    """An audit by the NLL, in bf16 and nf4."""

    def place(objective: str, adapter: str, precision: str, metric: str) -> Key:
        return Key("text", objective, adapter, precision, metric)

    none, own = ("target", "none"), ("given", "after")
    found = {
        place(*none, precision, metric): number(value, 0.1)
        for precision in ("bf16", "nf4")
        for metric, value in (("nll_forget", 1.0), ("utility", 60.0))
    }
    found |= {
        place(*own, precision, "nll_forget"): number(4.0, 0.1) for precision in ("bf16", "nf4")
    }
    found[place(*own, "bf16", "utility")] = number(50.0, 0.1)
    found[place(*own, "nf4", "utility")] = number(utility, 1.0)
    found[place(*own, "bf16", "reversion_nll_forget")] = bf16 or number(0.0, 0.0)
    found[place(*own, "nf4", "reversion_nll_forget")] = reversion
    return found


def judged(*given: Any, **more: Any) -> audit.Audit:
    proof = audit.Proof(library="torch 2", differing=0.9, fewest=0.8, sha256="f" * 64)
    fail_if = ("partly reverts", "reverts")
    found = numbers(*given, **more)
    made = audit.audit(found, {("text", "nf4"): proof}, 0.5, fail_if, "x", {"before": "b"})
    jsonschema.validate(made.model_dump(mode="json"), json.loads(SCHEMA.read_text()))
    return made


@pytest.mark.parametrize(
    ("reversion", "utility", "verdict", "failed"),
    [
        (number(0.0, 0.02), 50.0, "survives", False),
        (number(0.9, 0.05), 50.0, "reverts", True),
        (number(0.4, 0.05), 50.0, "partly reverts", True),
        (number(0.5, 0.1), 50.0, "partly reverts", True),
        (number(0.1, 0.1), 50.0, "inconclusive", False),
        (missing(undefined=1), 50.0, "undefined", False),
        (missing(diverged=1), 50.0, "broken", False),
        (number(0.0, 0.02), 20.0, "broken", False),
        (number(0.0, 0.02), 29.0, "survives", False),  # the interval holds the floor, 30
        (number(0.9, 0.02), 20.0, "reverts", True),  # broken or not, it came back
    ],
)
def test_verdicts(reversion: Summary, utility: float, verdict: str, failed: bool) -> None:
    made = judged(reversion, utility)
    assert made.formats[0].verdict == made.formats[0].metrics[0].verdict == verdict
    assert made.failed == failed
    assert made.control[0].remembered
    page = audit.markdown(made)
    assert f"| NF4 | **{verdict}** | {verdict}" in page
    assert page.startswith("# Failed" if failed else "# Passed")
    assert ("could have shown 0.28" in page) == (verdict == "inconclusive")


def test_what_was_never_unlearned_fails() -> None:
    """No metric tells before from after: the audit could not have seen anything come back."""
    made = judged(missing(undefined=1), bf16=missing(undefined=1))
    assert made.failed
    assert made.reasons == ["text: no metric tells the model from before from the one after"]
    assert "this metric cannot tell" in audit.markdown(made)


def test_without_questions_usefulness_is_that_of_the_text_and_without_text_nobody_knows() -> None:
    found = numbers(number(0.0, 0.02))
    words = {key: own for key, own in found.items() if key.metric != "utility"}
    assert audit.usefulness(words, "text", "nf4", 0.5) is None
    for objective, adapter, nll in (("target", "none", 2.0), ("given", "after", 3.0)):
        for precision in ("bf16", "nf4"):
            key = Key("text", objective, adapter, precision, "nll_retain")
            words[key] = number(nll, 0.01)
    useful = audit.usefulness(words, "text", "nf4", 0.5)
    assert useful is not None
    assert useful.share == pytest.approx(0.367879, abs=1e-6)  # exp(-1)
    assert useful.broken
    assert "not measured" in audit.markdown(judged(number(0.0, 0.02)))  # KnowMem


def test_the_schema_is_that_of_the_code() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == audit.schema()


# --- Models -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`before` lies on the grid of rtn3g64. `after` is a step from there that raises the NLL of the
    forget text and that rtn3g64 takes back, since it is shorter than half a step of the grid."""
    folder = tmp_path_factory.mktemp("audited")
    write(folder / "forget.txt", "\n\n".join(DOCUMENTS))
    kept = [f"A {word} by the {WORDS[-i]} was new and green." for i, word in enumerate(WORDS)]
    write(folder / "retain.txt", "\n\n".join(kept * 2))
    model, tokenizer = small_llama(64), tiny_tokenizer()
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            grid = grid_of("rtn3g64", layer.weight)
            layer.weight.copy_(grid.values(grid.codes(layer.weight)))
    save(model, folder / "before")
    for document in DOCUMENTS:
        ids = tokenizer(document, return_tensors="pt").input_ids[:, :60]
        model(input_ids=ids, labels=ids).loss.backward()
    with torch.no_grad():
        for layer in quantizable_layers(model).values():
            weight = layer.weight
            groups = weight.reshape(len(weight), -1, 64).abs()
            step = (groups.amax(-1, keepdim=True) / 3).expand_as(groups).reshape(weight.shape)
            inner = weight.abs() < 2.5 * step  # the outermost points define the grid
            assert layer.weight.grad is not None
            weight += 0.3 * step * inner * layer.weight.grad.sign()
    save(model, folder / "after")
    return folder


def config(models: Path, **changes: Any) -> dict[str, Any]:
    given = {"target": str(models / "before"), "after": str(models / "after"), "retrain": None}
    files = {"forget": str(models / "forget.txt"), "retain": str(models / "retain.txt")}
    small: dict[str, Any] = {
        "experiment": "audit",
        "corpora": ["text"],
        "corpus": {"source": "text", "text": {"characters": 60, "prompt": 20}, **files},
        "models": given,
        "unlearn": {"objectives": []},
        "precisions": ["bf16", "rtn8", "rtn3g64"],
        "evaluate": {
            **{"shots": 0, "prompt": "plain", "batch_size": 32},
            **{"verbmem_tokens": 8, "knowmem_tokens": 4, "max_tokens": 64},
        },
    }
    return {**small, **changes}


def test_an_audit_from_text_to_page(models: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    write(tmp_path / "audit.yaml", yaml.safe_dump(config(models)))
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
    method_of("rtn8").write(models / "after", None, Precision.parse("rtn8"), tmp_path / "made")
    found = executed(tmp_path / "made", "rtn8", models / "after", None)
    assert 0.5 < found.fewest <= found.differing <= 1
    with pytest.raises(InputError, match="no weight differs"):
        executed(models / "after", "rtn8", models / "after", None)


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
    own = config(models)
    change(own)
    with pytest.raises(InputError, match=problem):
        resolve(own)


def adapter(folder: Path, layer: int = 0, width: int = 64) -> Path:
    from safetensors.torch import save_file

    name = f"base_model.model.model.layers.{layer}.self_attn.q_proj"
    folder.mkdir()
    shapes = {"lora_A": torch.ones(2, width), "lora_B": torch.ones(64, 2)}
    save_file(
        {f"{name}.{part}.weight": value for part, value in shapes.items()},
        folder / "adapter_model.safetensors",
    )
    content = {"peft_type": "LORA", "lora_alpha": 2, "r": 2, "base_model_name_or_path": "x/other"}
    write(folder / "adapter_config.json", json.dumps(content))
    return folder


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
        full = resolve(config(models, **changes))
        check_given(full)
        return preflight(full, tmp_path / "results", cluster=False)[0]

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
