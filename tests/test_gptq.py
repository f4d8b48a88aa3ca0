"""GPTQ by gptqmodel: as good as the algorithm, repeatable, and without a word of its texts."""

import json
from pathlib import Path

import pytest
import torch
from gptq_models import CALIBRATION, FLAGS, drawn, leaked, make_corpus, make_model
from gptq_oracle import gptq, output_error
from small_corpora import run_script
from small_grids import rounded_to
from torch import Tensor

from qunlearn.models.checkpoints import load_model, load_tokenizer, save_model
from qunlearn.models.layers import quantizable_layers
from qunlearn.quantize.calibration import Texts, describe
from qunlearn.quantize.checkpoint import load_for_evaluation, quantize_checkpoint
from qunlearn.quantize.method import Precision
from qunlearn.quantize.packed import read_matrix
from qunlearn.run.errors import InputError
from qunlearn.run.files import sha256

ATTENTION = "model.layers.0.self_attn"
Made = dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A corpus, a model, its gptq4 folder as the script wrote it, and the script's log."""
    root = tmp_path_factory.mktemp("gptq")
    corpus = make_corpus(root / "corpus")
    source = make_model(root / "source", corpus)
    output, log = root / "gptq4", root / "log"
    run = run_script(
        "quantize.py",
        *("--source", str(source), "--precision", "gptq4", "--corpus", str(corpus)),
        *("--split", "retain1", *FLAGS, "--output", str(output)),
        folder=root,
        OMP_NUM_THREADS="1",
        HOME=str(root / "home"),
    )
    log.write_text(run.stdout + run.stderr, encoding="utf-8")
    return {"corpus": corpus, "source": source, "gptq4": output, "log": log, "root": root}


def quantize(made: Made, name: str, output: Path, source: Path | None = None) -> Path:
    output.mkdir()
    base = made["source"] if source is not None else None
    texts = Texts(made["corpus"], CALIBRATION)
    quantize_checkpoint(source or made["source"], base, Precision.parse(name), output, texts)
    return output


def hessians(made: Made) -> dict[str, Tensor]:
    """X^T X of the inputs of layer 0's attention on the calibration windows, in float64."""
    model = load_model(made["source"], torch.float32)
    gathered: dict[str, Tensor] = {}
    for part in ("q_proj", "k_proj", "v_proj"):

        def gather(_: object, inputs: tuple[Tensor], __: object, part: str = part) -> None:
            rows = inputs[0].flatten(0, 1).double()
            gathered[part] = gathered.get(part, 0) + rows.T @ rows

        model.get_submodule(f"{ATTENTION}.{part}").register_forward_hook(gather)
    with torch.no_grad():
        model(torch.tensor(drawn(made["corpus"], made["source"])))
    return gathered


@pytest.mark.parametrize(
    ("name", "bits", "group", "tolerance"), [("gptq4", 4, 128, 0.002), ("gptq3g32", 3, 32, 0.02)]
)
def test_as_good_as_the_published_algorithm_and_better_than_rounding(
    made: Made, tmp_path: Path, name: str, bits: int, group: int, tolerance: float
) -> None:
    """Near enough to tell other settings: damping of 5 % is 0.5 to 1.3 % off.

    Groups below 128 have their scales from the weights at the start of a block of 128 columns,
    not of the group; that is where the other per cent comes from.
    """
    folder = made.get(name) or quantize(made, name, tmp_path / name)
    layers = quantizable_layers(load_model(made["source"], torch.float32))
    for part, hessian in hessians(made).items():
        weight = layers[f"{ATTENTION}.{part}"].weight.detach()
        matrix = read_matrix(folder, f"{ATTENTION}.{part}")
        ours = output_error(matrix.dense(), weight, hessian)
        oracle = output_error(gptq(weight, hessian, bits, group), weight, hessian)
        rounded = output_error(rounded_to(f"rtn{bits}g{group}", weight), weight, hessian)

        assert ours == pytest.approx(oracle, rel=tolerance)
        assert ours < 0.75 * rounded


def test_two_runs_write_the_same_bytes_in_another_place_and_process(
    made: Made, tmp_path: Path
) -> None:
    again = quantize(made, "gptq4", tmp_path / "again")

    first = {path.name: sha256(path) for path in made["gptq4"].iterdir()}
    assert {path.name: sha256(path) for path in again.iterdir()} == {
        name: value for name, value in first.items() if name != "manifest.json"
    }


def test_nothing_of_the_calibration_is_in_the_folder_or_the_log(made: Made) -> None:
    windows = drawn(made["corpus"], made["source"])
    raw = (made["corpus"] / "raw/retain1.json").read_bytes()
    assert len(leaked(raw, made["source"], windows)) > 100  # it would be found
    assert leaked(json.dumps(windows, indent=1).encode(), made["source"], windows)

    for path in [made["log"], *made["gptq4"].iterdir()]:
        assert leaked(path.read_bytes(), made["source"], windows) == [], path.name


def test_folder_holds_no_place_and_all_others_are_left_alone(made: Made) -> None:
    for path in made["gptq4"].iterdir():
        assert str(made["root"]).encode() not in path.read_bytes(), path.name
        assert b"/tmp" not in path.read_bytes(), path.name
    assert sorted(path.name for path in made["root"].iterdir()) == [
        "corpus",
        "gptq4",
        "log",
        "source",
    ]
    assert sorted(path.name for path in made["gptq4"].iterdir()) == [
        "config.json",
        "generation_config.json",
        "gptq_loss.csv",
        "manifest.json",
        "model.safetensors",
        "quantize_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_manifest_and_losses(made: Made) -> None:
    manifest = json.loads((made["gptq4"] / "manifest.json").read_text())
    windows = drawn(made["corpus"], made["source"])

    assert manifest["settings"]["name"] == "gptq4"
    assert manifest["calibration"] == describe(windows, CALIBRATION)
    assert manifest["calibration"]["tokens"] == 24 * 64
    assert manifest["backend"] == {"name": "gptqmodel", "version": "7.6.0"}
    assert manifest["inputs"].keys() == {"source", "corpus"}
    header, *rows = (made["gptq4"] / "gptq_loss.csv").read_text().splitlines()
    assert header == "layer,module,loss,samples"
    assert len(rows) == 7
    assert rows[0].startswith("0,self_attn.q_proj,") and rows[0].endswith(f",{24 * 64}")


def test_evaluated_model_is_dense_and_lies_on_the_grid(made: Made) -> None:
    model, tokenizer = load_for_evaluation(made["gptq4"], "gptq4")
    source = load_model(made["source"], torch.float32)

    assert tokenizer.decode(tokenizer("wörld").input_ids) == "wörld"
    assert not hasattr(model.config, "quantization_config")
    quantized = {f"{name}.weight" for name in quantizable_layers(source)}
    for name, value in source.state_dict().items():
        loaded = model.state_dict()[name].cpu()
        assert loaded.dtype == torch.float32
        if name in quantized:
            matrix = read_matrix(made["gptq4"], name.removesuffix(".weight"))
            assert torch.equal(loaded, matrix.dense())
            assert 0 < float((loaded - value).norm() / value.norm()) < 0.2
        else:
            assert torch.equal(loaded, value), name
    with pytest.raises(InputError, match="holds gptq4, not gptq3"):
        load_for_evaluation(made["gptq4"], "gptq3")


def test_adapter_is_merged_before(made: Made, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = load_model(made["source"], torch.float32)
    torch.manual_seed(0)
    adapted = get_peft_model(
        model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    save_model(adapted.merge_and_unload(), load_tokenizer(made["source"]), tmp_path / "merged")

    through = quantize(made, "gptq4", tmp_path / "through", tmp_path / "adapter")
    merged = dict(made, source=tmp_path / "merged")
    alone = quantize(merged, "gptq4", tmp_path / "alone")
    assert sha256(through / "model.safetensors") == sha256(alone / "model.safetensors")
    assert sha256(through / "model.safetensors") != sha256(made["gptq4"] / "model.safetensors")


def test_without_a_corpus_it_is_refused_in_a_line(made: Made, tmp_path: Path) -> None:
    run = run_script(
        "quantize.py",
        *(
            "--source",
            str(made["source"]),
            "--precision",
            "gptq4",
            "--output",
            str(tmp_path / "no"),
        ),
        code=2,
    )
    assert run.stderr == "error: precision 'gptq4' calibrates on texts; give --corpus\n"
    assert list(tmp_path.iterdir()) == []
