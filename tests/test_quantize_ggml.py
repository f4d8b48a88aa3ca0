"""GGUF's block types: libgguf makes them, the package gguf judges."""

from pathlib import Path

import gguf
import libgguf
import pytest
import torch
from safetensors.torch import load_file
from survival_models import grid_of, random_update, rounded_to, save, survival
from tiny_models import tiny_llama
from torch import Tensor

from qunlearn.models.updates import quantizable_layers
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of
from qunlearn.quantize.methods.ggml import TYPES
from qunlearn.run.errors import InputError

EVERY = pytest.mark.parametrize("name", TYPES)


def packed(weight: Tensor, name: str) -> tuple[Tensor, gguf.GGMLQuantizationType]:
    kind = gguf.GGMLQuantizationType[name.upper()]
    return torch.from_numpy(libgguf.quantize_rows(weight.numpy(), kind)), kind


def judged(bytes_: Tensor, kind: gguf.GGMLQuantizationType) -> Tensor:
    """What gguf's own dequantizer makes of packed rows."""
    return torch.from_numpy(gguf.dequantize(bytes_.numpy(), kind))


def weights(rows: int = 64) -> Tensor:
    return 0.02 * torch.randn(rows, 512, generator=torch.Generator().manual_seed(0))


@EVERY
def test_blocks_have_the_sizes_that_gguf_knows(name: str) -> None:
    form, kind = TYPES[name], gguf.GGMLQuantizationType[name.upper()]
    assert gguf.GGML_QUANT_SIZES[kind] == (form.weights, form.size)


@EVERY
def test_whatever_codes_a_file_may_hold_lie_on_the_grid(name: str) -> None:
    """Bit for bit, with random codes beside the scales that libgguf chose; and all codes occur."""
    weight, form = weights(), TYPES[name]
    rows, kind = packed(weight, name)
    codes = rows.view(len(rows), -1, form.size)[..., slice(*form.codes)]
    codes[:] = torch.randint(256, codes.shape, generator=torch.Generator().manual_seed(1))
    points, grid = judged(rows, kind), grid_of(name, weight)
    assert torch.equal(grid.values(grid.codes(points)), points)
    distinct = len(form.levels) or 2**form.bits
    assert len(grid.codes(points).unique()) == distinct
    assert (grid.step(points) > 0).all()


@EVERY
def test_a_matrix_on_its_own_grid_is_what_libgguf_makes_of_it(name: str) -> None:
    """But for at most 1 weight in 100, which lies near a tie; then the neighbouring point."""
    weight = weights()
    made, own = judged(*packed(weight, name)), rounded_to(name, weight)
    other = made != own
    assert other.double().mean() <= (0.0 if name in ("q2_k", "q4_k", "q5_k") else 0.01)
    steps = grid_of(name, weight).step(weight)
    assert bool(((made - own).abs() <= 1.5 * steps)[other].all())


@EVERY
def test_checkpoints_hold_what_gguf_reads(name: str, tmp_path: Path) -> None:
    model = tiny_llama(320, 256)
    source, out = save(model, tmp_path / "source"), tmp_path / name
    facts = method_of(name).write(source, None, Precision.parse(name), out)
    stored, layers = load_file(out / "model.safetensors"), quantizable_layers(model)
    assert facts["quantized_matrices"] == len(layers)
    for key, value in model.state_dict().items():
        quantized = key.removesuffix(".weight") in layers
        expected = judged(*packed(value, name)) if quantized else value
        assert torch.equal(stored[key], expected), key
    loaded, _ = load_for_evaluation(out, name)
    assert torch.equal(loaded.state_dict()[key].cpu(), stored[key])


@pytest.mark.parametrize(
    ("name", "share"),
    [
        *(("q3_k", 0.205), ("q4_0", 0.116), ("q6_k", 0.026), ("q4_k", 0.0), ("q2_k", 0.0)),
        *(("nvfp4", 0.069), ("mxfp4", 0.082)),
    ],
)
def test_the_share_of_normal_weights_that_act_as_zero(name: str, share: float) -> None:
    """K-quants with a float minimum have a point at 0 in next to no block."""
    weight = weights(256)
    grid, (made, kind) = grid_of(name, weight), packed(weight, name)
    found = float(grid.zero(grid.codes(weight)).double().mean())
    assert found == pytest.approx(share, abs=0.002)
    assert found == pytest.approx(float((judged(made, kind) == 0).double().mean()), abs=0.002)


def test_the_level_of_iq4_nl_beside_0_acts_as_zero() -> None:
    """None is 0; the nearest is 1, and the largest of a block is -127 or 113."""
    weight = weights()
    grid, values = grid_of("iq4_nl", weight), rounded_to("iq4_nl", weight)
    blocks = values.abs().view(-1, 32)
    near = (blocks < 0.02 * blocks.amax(dim=1, keepdim=True)).view(weight.shape)
    assert torch.equal(grid.zero(grid.codes(weight)), near)
    assert not (values == 0).any() and 0.05 < near.double().mean() < 0.12


@EVERY
def test_small_updates_arrive_as_shipped_but_not_all_on_scales_fitted_to_the_weights(
    name: str,
) -> None:
    """Where libgguf searches for the scales of W, W lies off the borders between its points."""
    row, _ = survival(random_update(128, 512, 0.05), name)
    assert row.projection_adaptive == pytest.approx(1, abs=0.1)
    searched = name in ("q2_k", "q3_k", "q4_k", "q5_k", "iq4_nl")
    assert row.flips_fixed < 0.96 * row.flips_predicted or not searched
    assert row.flips_fixed < 0.96 * row.flips_adaptive or not searched


def test_blocks_that_do_not_divide_the_rows_are_refused() -> None:
    layers = {"x": torch.nn.Linear(576, 64)}
    with pytest.raises(InputError, match="'q4_k': group 256 does not divide the 576 inputs of x"):
        method_of("q4_k").check(layers, Precision.parse("q4_k"))
    method_of("q4_0").check(layers, Precision.parse("q4_0"))
