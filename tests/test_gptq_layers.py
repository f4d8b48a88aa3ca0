"""Models that GPTQ cannot pack are refused in a line, before anything is drawn or rounded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from gptq_models import CALIBRATION, FLAGS, MODEL, make_corpus, make_model
from small_corpora import run_script

from qunlearn.quantize.gptq_folder import layers_of
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.errors import InputError
from qunlearn.settings.quantization import CalibrationSettings


def check_layers(folder: Path, precision: Precision) -> list[str]:
    layers = layers_of(folder)
    method_of(precision).check(layers, precision)
    return list(layers)


Q_PROJ = r"model\.layers\.0\.self_attn\.q_proj"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("layers") / "corpus")


def test_layers_are_named_in_the_models_order(corpus: Path, tmp_path: Path) -> None:
    source = make_model(tmp_path / "source", corpus)

    names = check_layers(source, Precision.parse("gptq4"))

    assert names[0] == "model.layers.0.self_attn.q_proj"
    assert names[-1] == "model.layers.0.mlp.down_proj"
    assert len(names) == 7


def test_group_that_does_not_fit_is_refused_with_those_that_do(
    corpus: Path, tmp_path: Path
) -> None:
    narrow = make_model(tmp_path / "narrow", corpus, replace(MODEL, hidden=192, heads=3))

    check_layers(narrow, Precision.parse("gptq4g64"))
    expected = rf"^precision 'gptq4': group 128 does not divide the 192 inputs of {Q_PROJ}; "
    with pytest.raises(InputError, match=expected + "use gptq4g32, gptq4g64$"):
        check_layers(narrow, Precision.parse("gptq4"))


@pytest.mark.parametrize(
    ("sizes", "complaint"),
    [({"hidden": 48}, f"{Q_PROJ} has 48 inputs"), ({"mlp": 80}, "gate_proj has 80 outputs")],
)
def test_widths_that_do_not_fill_words_are_refused(
    corpus: Path, tmp_path: Path, sizes: dict[str, int], complaint: str
) -> None:
    odd = make_model(tmp_path / "odd", corpus, replace(MODEL, **sizes))

    with pytest.raises(InputError, match=f"{complaint}, .* in multiples of 32; use nf4 or rtn4$"):
        check_layers(odd, Precision.parse("gptq4g16"))


def test_script_refuses_before_calibration_and_leaves_nothing(corpus: Path, tmp_path: Path) -> None:
    """The corpus is too small as well, but that comes second."""
    narrow = make_model(tmp_path / "narrow", corpus, replace(MODEL, hidden=192, heads=3))
    assert CalibrationSettings().sequences > CALIBRATION.sequences

    run = run_script(
        "quantize.py",
        *("--source", str(narrow), "--precision", "gptq4", "--corpus", str(corpus)),
        *("--output", str(tmp_path / "out"), "--length", "100"),
        code=2,
    )

    assert run.stderr.count("\n") == 1
    assert run.stderr.startswith("error: precision 'gptq4': group 128 does not divide")
    assert not (tmp_path / "out").exists()


def test_auto_gptq_without_the_package_is_one_line(corpus: Path, tmp_path: Path) -> None:
    source = make_model(tmp_path / "source", corpus)

    run = run_script(
        "quantize.py",
        *("--source", str(source), "--precision", "autogptq4", "--corpus", str(corpus), *FLAGS),
        *("--output", str(tmp_path / "out")),
        code=2,
    )

    assert run.stderr == (
        "error: precision 'autogptq': auto-gptq is not installed; use envs/autogptq.yaml, or use "
        "gptq4, which gptqmodel makes on a CPU as well\n"
    )
    assert not (tmp_path / "out").exists()


def test_diverged_source_has_nothing_to_quantize(corpus: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "manifest.json").write_text('{"status": "diverged", "outputs": {}}')

    run_script(
        "quantize.py",
        *("--source", str(source), "--precision", "gptq4", "--corpus", str(corpus)),
        *("--output", str(tmp_path / "out")),
    )

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.json"]
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert (manifest["status"], manifest["settings"]["name"]) == ("diverged", "gptq4")
