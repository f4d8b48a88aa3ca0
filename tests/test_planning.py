"""The plan: shapes, memory, disk and arithmetic on numbers worked out by hand, and the script."""

import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import tiny_llama

from qunlearn import configfiles, sweep
from qunlearn.config import cells, runs
from qunlearn.errors import InputError
from qunlearn.evaluate import batching, evaluation
from qunlearn.planning import ModelShape, StepPlan, asking, disk, estimate, flops, states
from qunlearn.planning.cards import CARDS, UTILISATION
from qunlearn.planning.known import RESOURCE, known_shapes
from qunlearn.planning.memory import training_peak
from qunlearn.planning.sizes import Texts
from qunlearn.planning.table import table
from qunlearn.planning.training import Training
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training import chunked
from qunlearn.training.adapters import with_adapter

ROOT = Path(__file__).parents[1]
SHAPES = yaml.safe_load(RESOURCE.read_text(encoding="utf-8"))
LLAMA = ModelShape.from_config(SHAPES["llama-2-7b"])
TINY = ModelShape(60, 32, 64, 2, 2, 2, 16, False, 64)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place without results that the plan could look at."""
    monkeypatch.chdir(tmp_path)


def unlearning(adapter: str, **settings: Any) -> Training:
    values = asdict(UnlearnSettings()) | settings
    return Training.of_unlearning(LLAMA, "npo_gdr", adapter, values, 2048, "cuda")


def test_published_shapes_have_their_published_numbers_of_weights() -> None:
    assert LLAMA.parameters == 6_738_415_616
    assert ModelShape.from_config(SHAPES["smollm2-135m"]).parameters == 134_515_008


def test_a_shape_counts_the_weights_of_the_model_it_is_of() -> None:
    model = tiny_llama()
    shape = ModelShape.from_config(model.config.to_dict())
    assert shape == TINY
    assert shape.parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("targets", ["all", "qv", "odu"])
def test_lora_counts_the_weights_that_it_trains(targets: Any) -> None:
    settings = UnlearnSettings(rank=4, targets=targets)
    model = with_adapter(tiny_llama(), "lora", settings, 0)
    plan = Training.of_unlearning(TINY, "npo", "lora", asdict(settings), 12, "cpu")
    assert plan.trained == sum(one.numel() for one in model.parameters() if one.requires_grad)


def test_a_config_of_another_kind_is_told() -> None:
    with pytest.raises(InputError, match="without 'intermediate_size'"):
        ModelShape.from_config({"hidden_size": 8, "num_attention_heads": 2, "vocab_size": 9})


def test_the_plan_has_the_constants_of_the_code() -> None:
    assert states.CHUNK == chunked.CHUNK
    assert asking.MOST_LOGITS == batching.MOST_LOGITS
    assert asking.INT8_ROWS == evaluation.INT8_ROWS


def test_weights_gradients_and_moments_of_a_full_run() -> None:
    peak = training_peak(unlearning("full"))
    billions = LLAMA.parameters
    assert (peak.weights, peak.gradients, peak.moments) == (
        4 * billions,
        4 * billions,
        8 * billions,
    )
    in_bf16 = training_peak(unlearning("full_bf16"))
    assert (in_bf16.weights, in_bf16.moments, in_bf16.copies) == (2 * billions, 4 * billions, 0)


def test_eight_bits_shrink_the_moments_and_checkpointing_the_states() -> None:
    full, small = unlearning("full"), unlearning("full", optimizer="adamw_8bit")
    assert training_peak(small).moments < 0.29 * training_peak(full).moments
    again = unlearning("full", gradient_checkpointing=True)
    # A layer keeps its input, 4 bytes a number; and the losses come one at a time.
    kept = 16 * 2048 * 32 * 4096 * 4
    assert kept <= training_peak(again).states < 1.2 * kept
    assert training_peak(again).total < training_peak(full).total


def test_two_processes_halve_what_they_share() -> None:
    one = training_peak(unlearning("full"))
    two = training_peak(unlearning("full", sharding="fsdp", processes=2))
    assert two.moments == one.moments // 2
    assert two.total < 0.6 * one.total


def test_a_layer_keeps_what_the_table_says() -> None:
    training = Training(TINY, "full", 1, 10, ("nll",), device="cpu")
    # norms 8*32 + 2*4*32, inputs 2*(6*32 + 64), q k v 3*2*32, attention 6*2*10, MLP 6*64
    assert states.layer_states(training) == 512 + 512 + 192 + 120 + 384
    fused = replace(training, device="cuda")
    assert states.layer_states(fused) == 512 + 512 + 192 + 8 + 384


def test_flops_by_hand() -> None:
    matrices = 2 * (4 * 32 * 32 + 3 * 32 * 64)
    assert TINY.matrices == matrices
    layers = 2 * matrices + 2 * 2 * 32 * 10
    head = 2 * 60 * 32
    assert flops.forward(TINY, 10, 10) == 10 * (layers + head)
    full = Training(TINY, "full", 1, 10, ("nll",))
    assert flops.update(full, 10) == 10 * (3 * layers + 4 * head)
    again = replace(full, checkpointing=True)
    assert flops.update(again, 10) == 10 * (4 * layers + 4 * head)
    # Six operations a weight and token: the rule of thumb, to a tenth.
    rule = 6 * LLAMA.parameters * 2048
    assert flops.update(replace(full, shape=LLAMA, tokens=2048), 2048) == pytest.approx(
        rule, rel=0.1
    )


def test_gptq_and_unlearning_by_hand() -> None:
    tokens = 4 * 8
    square = 6 * (2 * tokens * 32**2 + 2 * 32**3) + 2 * tokens * 64**2 + 2 * 64**3
    rounding = 4 * 32 * 32**2 + 2 * 64 * 32**2 + 32 * 64**2
    passes = 2 * tokens * flops.layers_flops(TINY, 8)
    assert flops.gptq(TINY, 4, 8) == 2 * (square + rounding) + passes
    training = Training(TINY, "full", 2, 10, ("nll", "nll"))
    settings = {"epochs": 2, "batch_size": 2, "log_every": 3}
    # 4 rows, 2 epochs, 2 rows an update: 4 updates, 2 looks and NPO's reference.
    updates = flops.update(training, 8 * 10)
    looks = 3 * flops.forward(TINY, 40, 10)
    assert flops.unlearning(training, "npo_gdr", settings, 4, 9) == updates + looks


def test_disk_by_hand() -> None:
    rest = 4 * (LLAMA.parameters - LLAMA.matrices)
    assert disk.quantized_bytes(LLAMA, "bf16") == 2 * LLAMA.parameters
    assert disk.quantized_bytes(LLAMA, "nf4") == LLAMA.matrices * 9 // 16 + rest
    assert disk.quantized_bytes(LLAMA, "rtn3") == 4 * LLAMA.parameters
    assert disk.quantized_bytes(LLAMA, "gptq4") < disk.quantized_bytes(LLAMA, "nf4")
    assert disk.reference_bytes(unlearning("full"), 10) == 0
    klr = replace(unlearning("full"), losses=("nll", "kl"))
    assert disk.reference_bytes(klr, 10) == 2 * 4096 * 10 * 2048


def test_rows_of_texts() -> None:
    texts = Texts(count=10, tokens=1000, longest=250)
    assert (texts.rows(64, "stream"), texts.longest_row(64, "stream")) == (16, 64)
    assert (texts.rows(64, "documents"), texts.longest_row(300, "documents")) == (20, 250)


def test_asking_in_fp32_takes_its_weights_twice_and_no_bf16_products() -> None:
    texts = {f"privleak/{split}": Texts(4, 400, 100) for split in ("forget", "retain", "holdout")}
    texts |= {"verbmem/forget": Texts(4, 200, 50)}
    for split in ("forget", "retain"):
        texts |= {f"knowmem/{split}_qa{end}": Texts(4, 80, 20) for end in ("", "_icl")}
    settings = asdict(EvaluateSettings(batch_size=2, shots=2))
    bf16, nf4 = (asking.asking(LLAMA, name, texts, settings) for name in ("bf16", "nf4"))
    assert nf4.gpu_bytes - bf16.gpu_bytes > 2 * LLAMA.parameters
    assert (bf16.fp32_flops, nf4.flops) == (0, 0)
    assert bf16.flops == nf4.fp32_flops > 2 * LLAMA.matrices * 1200
    assert nf4.traffic_bytes == 2 * bf16.traffic_bytes


def test_hours_are_flops_over_what_a_card_does() -> None:
    step = StepPlan("x", 1, 0, 0, 0, 0, 0, flops=312e12 * UTILISATION * 3600)
    assert CARDS[0].hours(step) == pytest.approx(1.0)


@pytest.mark.usefixtures("elsewhere")
def test_the_default_experiment_has_a_job_for_each_run_and_cell() -> None:
    config = configfiles.read([])
    plan = estimate(config, known_shapes(config))
    jobs = {word: 0 for word in ("train", "unlearn", "quantize", "gptq", "evaluate", "survival")}
    for step in plan:
        jobs[step.step.split()[0]] = jobs.get(step.step.split()[0], 0) + step.jobs
    assert jobs["train"] == 3
    assert jobs["unlearn"] == len(runs(config)) == jobs["survival"]
    assert jobs["evaluate"] == len(cells(config)) == jobs["quantize"] + jobs["gptq"]


@pytest.mark.usefixtures("elsewhere")
def test_the_papers_experiment_is_planned_before_anything_is_there() -> None:
    config = configfiles.read([ROOT / "config/paper.yaml"])
    plan = estimate(config, known_shapes(config))
    by_name = {step.step: step for step in plan}
    lora = by_name["unlearn news npo_klr lora-r64"]
    assert lora.parameters == LLAMA.parameters
    assert lora.trained == 32 * 64 * (4 * 8192 + 3 * 15104)
    assert not CARDS[2].fits(lora) and CARDS[0].fits(lora)
    assert by_name["download news,books target,retrain"].jobs == 4
    assert "too large for RTX 4090" in table(plan)


@pytest.mark.usefixtures("elsewhere")
def test_what_stays_at_each_level_and_what_comes_and_goes() -> None:
    plans = {}
    for keep in ("all", "adapters", "tables"):
        config = configfiles.read([ROOT / "config/paper.yaml"]) | {"keep": keep}
        plans[keep] = estimate(config, known_shapes(config))
    stays = {keep: sum(step.disk_bytes for step in plan) for keep, plan in plans.items()}
    held = {keep: sum(step.held_bytes for step in plan) for keep, plan in plans.items()}
    corpora = sum(s.disk_bytes for s in plans["tables"])
    assert corpora < 1e8
    fetched, whole = 4 * 2 * LLAMA.parameters, 4 * LLAMA.parameters
    adapters = sum(
        4 * step.trained * step.jobs for step in plans["all"] if "lora" in step.step.split()[-1]
    )
    packed = disk.quantized_bytes(LLAMA, "gptq4")
    assert stays["adapters"] == corpora + fetched + adapters
    quantized = sum(
        step.disk_bytes for step in plans["all"] if step.step.split()[0] in ("quantize", "gptq")
    )
    assert stays["all"] == stays["adapters"] + 8 * whole + quantized
    assert held == {"all": 0, "adapters": 2 * packed, "tables": 2 * packed + fetched}
    scratch = max(step.scratch_bytes for step in plans["all"])
    for keep in ("adapters", "tables"):
        assert disk.working(plans[keep]) == whole + packed + scratch
        assert disk.peak_disk(plans[keep]) == stays[keep] + held[keep] + whole + packed + scratch
        assert disk.bound(plans[keep]) > disk.peak_disk(plans[keep]) + 7 * whole
    assert disk.peak_disk(plans["all"]) == stays["all"] + scratch


@pytest.mark.usefixtures("elsewhere")
def test_models_that_wait_for_a_control_are_all_there_at_once() -> None:
    config = configfiles.read([ROOT / "config/paper.yaml"])
    config |= {"controls": True, "corpora": ["news"]}
    config["unlearn"]["adapters"] = ["full", "full_bf16", "lora"]
    plan = estimate(config, known_shapes(config))
    full = [step for step in plan if step.step.startswith(("unlearn", "match"))]
    whole = sum(step.held_bytes for step in full if "lora" not in step.step)
    # Of four objectives: fp32 twice (full and full_matched), bf16 once.
    assert whole == 4 * (2 * 4 + 2) * LLAMA.parameters
    assert not any(step.passing_bytes for step in full)


@pytest.mark.usefixtures("elsewhere")
def test_a_sweep_is_planned_in_place_of_its_cells_runs() -> None:
    files = [ROOT / "config/paper.yaml", ROOT / "config/paper_grid.yaml"]
    config = configfiles.read(files)
    plan = estimate(config, known_shapes(config))
    trained = sum(step.jobs for step in plan if step.step.startswith("sweep"))
    assert trained == len(sweep.training_runs(config))
    assert not [
        step.step for step in plan if step.step.startswith("unlearn") and "lora" in step.step
    ]


@pytest.mark.usefixtures("elsewhere")
def test_an_unknown_shape_is_told() -> None:
    config = configfiles.read([ROOT / "config/paper.yaml"])
    config["models"]["shape"] = "llama-9"
    with pytest.raises(InputError, match=r"'llama-9' is not in .*; use one of: llama-2-7b"):
        known_shapes(config)


def test_the_script_prints_a_table_and_loads_no_torch(tmp_path: Path) -> None:
    script = ROOT / "workflow/scripts/plan.py"
    probe = (
        "import runpy, sys; sys.argv = ['plan.py']; "
        f"runpy.run_path({str(script)!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "unlearn news npo_gdr full_bf16" in done.stdout
    assert "everything fits RTX 4090" in done.stdout
