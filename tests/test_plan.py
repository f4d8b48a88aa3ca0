"""The plan: memory against measured peaks, the paper's experiment, and what jobs request."""

import csv
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, snakemake_command
from small_corpora import run_script
from tiny_models import tiny_llama

sys.path.insert(0, str(ROOT))

from benchmarks.bench_plan import predicted
from benchmarks.peak_probe import CASES, Case
from qunlearn import plan
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import Json, cells, resolve, runs
from qunlearn.models.shape import ModelShape, Training
from qunlearn.quantize.method import Precision, method_of
from qunlearn.settings.fixed import NORM_RUNS
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.adapters import with_adapter

SHAPES = yaml.safe_load((ROOT / "resources/shapes.yaml").read_text(encoding="utf-8"))
LLAMA = ModelShape.from_config(SHAPES["llama-2-7b"])
TINY = ModelShape(60, 32, 64, 2, 2, 2, 16, False, 64)
KEPT = json.loads((ROOT / "docs/results/performance/plan.json").read_text(encoding="utf-8"))
MEASURED = {one["what"].partition(": ")[2]: one["baseline"][0] for one in KEPT["comparisons"]}
PAPER, TINY_FILE = ROOT / "config/paper.yaml", ROOT / "config/tiny.yaml"
NUMBERS = {"mem_mb": 1234, "runtime": 56}


def paper() -> tuple[Json, list[plan.Job]]:
    config = configfiles.read([PAPER])
    return config, plan.estimate(config, dict.fromkeys(config["corpora"], LLAMA))


def full(**changes: Any) -> Json:
    return resolve({"corpora": ["news"], **changes})


def test_weights_are_counted_as_published_and_as_torch_counts_them() -> None:
    assert LLAMA.parameters == 6_738_415_616
    assert ModelShape.from_config(SHAPES["smollm2-135m"]).parameters == 134_515_008
    model = tiny_llama()
    assert ModelShape.from_config(model.config.to_dict()) == TINY
    assert TINY.parameters == sum(weight.numel() for weight in model.parameters())


@pytest.mark.parametrize("targets", ["all", "qv", "odu"])
def test_lora_counts_the_weights_that_it_trains(targets: Any) -> None:
    settings = UnlearnSettings(rank=4, targets=targets)
    model = with_adapter(tiny_llama(), "lora", settings, 0)
    found = Training(TINY, asdict(settings), "lora").trained
    assert found == sum(one.numel() for one in model.parameters() if one.requires_grad)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_memory_is_within_5_percent_of_measured_peaks(case: Case) -> None:
    assert predicted(case) / 1e6 == pytest.approx(MEASURED[case.name], rel=0.05)


def test_bits_on_the_disk() -> None:
    names = ("bf16", "nf4", "gptq4", "rtn3")
    bits = {name: method_of(name).stored_bits(Precision.parse(name)) for name in names}
    assert bits == {"bf16": 16, "nf4": 4.5, "gptq4": 4 + 20 / 128, "rtn3": 32}


def test_the_papers_experiment() -> None:
    config, jobs = paper()
    counts = {
        kind: sum(job.count for job in jobs if job.kind == kind)
        for kind in plan.needs(config, jobs)
    }
    assert counts["data"] == 4
    assert counts["unlearn"] == len(runs(config)) == counts["survival"]
    assert counts["evaluate"] == len(cells(config)) == counts["quantize"] + counts["gptq"]
    stay, work = plan.disk(jobs)
    assert stay == pytest.approx(4 * 2 * LLAMA.parameters, rel=0.1)  # and adapters
    assert 50e9 < stay + work < 400e9
    a100, h100, consumer = plan.CARDS
    largest = max(jobs, key=lambda job: job.gpu)
    requested = plan.needs(config, jobs)
    for job in jobs:
        assert requested[job.kind]["mem_mb"] * 1e6 >= 1.3 * job.host, job.stage
        if config["resources"][job.kind]["gpu"]:
            least = min(card.hours(job) for card in plan.CARDS if job.gpu <= card.memory)
            assert requested[job.kind]["runtime"] >= 3 * 60 * least, job.stage
    assert largest.stage == "unlearn full" and consumer.memory < largest.gpu < h100.memory
    hours = [sum(job.count * card.hours(job) for job in jobs) for card in (a100, h100)]
    assert 6 < hours[1] < 12 < hours[0] < 40


def test_a_gpu_evaluates_every_precision_in_16_bits_and_threads_share_what_no_gpu_does() -> None:
    config, jobs = paper()
    found = {job.stage: job for job in jobs}
    assert found["evaluate nf4"].gpu == found["evaluate bf16"].gpu == found["evaluate gptq4"].gpu
    assert found["evaluate nf4"].traffic == found["evaluate bf16"].traffic
    resources = {"survival": {"threads": 1, "gpu": 0}, "quantize": {"threads": 1, "gpu": 0}}
    changed, alone = config | {"resources": config["resources"] | resources}, dict[str, plan.Job]()
    alone |= {job.stage: job for job in plan.estimate(changed, {"news": LLAMA, "books": LLAMA})}
    for stage in ("survival", "quantize nf4"):
        assert found[stage].seconds == pytest.approx(alone[stage].seconds * (0.1 + 0.9 / 8))
    assert 16 * found["survival"].seconds < 1.5 * 3600


def test_the_slowest_gpu_that_has_room_and_the_cores_decide_how_long() -> None:
    def minutes(gpu_bytes: float, **job: int) -> int:
        work = plan.Job("unlearn", "unlearn full", 0, 0, int(gpu_bytes), flops=1e18)
        return plan.needs(full(resources={"unlearn": job}), [work])["unlearn"]["runtime"]

    work = plan.Job("unlearn", "", 0, 0, flops=1e18)
    for size, card in ((1e9, plan.CARDS[2]), (70e9, plan.CARDS[0])):
        assert minutes(size, gpu=1) == pytest.approx(180 * card.hours(work), abs=5)
    assert minutes(0, threads=1) == pytest.approx(4 * minutes(0, threads=4), abs=20)


TELL = """
import json, sys
from snakemake import cli, jobs

def tell(job, *arguments, **keywords):
    print("ASKS", json.dumps([job.rule.name, dict(job.resources.items())]))

jobs.Job.log_info = tell  # what Snakemake prints only of rules without a message
sys.argv = sys.argv[1:]
cli.main()
"""


def test_rules_request_what_their_kind_does_and_more_at_each_attempt(tmp_path: Path) -> None:
    changes = tmp_path / "changes.yaml"
    resources = dict.fromkeys(configfiles.read([TINY_FILE])["resources"], NUMBERS)
    resources["unlearn"] = NUMBERS | {"gpu": 1, "threads": 2}
    settings = {"controls": True, "keep_models": False, "resources": resources}
    changes.write_text(yaml.safe_dump(settings), "utf-8")
    files = ("--configfile", str(TINY_FILE), str(changes))
    for attempt, memory, minutes in (("1", 1234, 56), ("3", 2777, 168)):
        words = snakemake_command("--dry-run", "--attempt", attempt, *files)
        command = [sys.executable, "-c", TELL, *words]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert run.returncode == 0, run.stderr
        lines = [line[5:] for line in run.stdout.splitlines() if line.startswith("ASKS ")]
        found = dict(map(json.loads, lines))  # rule -> the resources of its last job
        for rule in ("finetune", "unlearn", "quantize", "scale_lora", "analyse"):
            assert (found[rule]["mem_mb"], found[rule]["runtime"]) == (memory, minutes), rule
        assert found["match_norm"]["runtime"] == NORM_RUNS * minutes
    assert found["unlearn"] | {"gpu": 1, "_cores": 2} == found["unlearn"]


def test_jobs_of_the_tiny_experiment_fit(tiny_run: Path) -> None:
    config = configfiles.read([TINY_FILE])
    shape = ModelShape.from_architecture(config["models"]["architecture"])
    found = plan.needs(config, plan.estimate(config, {"news": shape}))
    folders = {"models": "train", "unlearned": "unlearn", "eval": "evaluate", "data": "data"}
    folders |= {"quantized": "quantize", "survival": "survival"}
    measured = sorted((tiny_run / "results/tiny/benchmarks").rglob("*.tsv"))
    for file in measured:
        folder = file.relative_to(tiny_run / "results/tiny/benchmarks").parts[0]
        kind = "gptq" if file.stem.startswith("gptq") else folders.get(folder, "tables")
        with file.open(encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream, delimiter="\t")
        if row["max_rss"] != "NA":  # too short to be seen
            assert float(row["max_rss"]) * 2**20 < found[kind]["mem_mb"] * 1e6 / 1.3, file
        assert float(row["s"]) < 60 * found[kind]["runtime"], file
    assert len(measured) > 50


def test_the_script_prints_a_table_and_loads_no_torch(tmp_path: Path) -> None:
    script, path = str(ROOT / "workflow/scripts/plan.py"), {"PYTHONPATH": str(ROOT / "src")}
    probe = (
        f"import runpy, sys; sys.argv = ['plan.py', '--configfile', {str(PAPER)!r}]; "
        f"runpy.run_path({script!r}, run_name='__main__'); assert 'torch' not in sys.modules"
    )
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, cwd=tmp_path, env=path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {line.partition("  ")[0]: line.split() for line in done.stdout.splitlines()}
    assert lines["stage"][:5] == ["stage", "jobs", "GPU", "host", "disk"]
    assert lines["unlearn full"][2] == "8" and lines["unlearn full"][-2:] == ["no", "room"]
    assert "running one job at a time" in done.stdout
    (tmp_path / "shape.yaml").write_text("models: {shape: llama-9}")
    done = run_script("plan.py", "--configfile", tmp_path / "shape.yaml", code=2)
    assert "'llama-9' is not in resources/shapes.yaml; use one of: llama-2-7b" in done.stderr
