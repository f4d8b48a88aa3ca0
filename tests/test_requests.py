"""What jobs ask a scheduler for: the plan's memory and time with a margin, more at each attempt."""

import csv
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from small_jobs import asked

from qunlearn import configfiles, requests
from qunlearn.config import Json, load_schema, resolve
from qunlearn.errors import InputError
from qunlearn.planning import StepPlan, estimate
from qunlearn.planning.cards import CARDS
from qunlearn.planning.known import known_shapes
from qunlearn.requests import Request

SCHEMA = load_schema(ROOT / "workflow/schemas/config.schema.yaml")
TINY = ROOT / "config/tiny.yaml"
NUMBERS = {"mem_mb": 1234, "runtime": 56}
HUB = {
    "experiment": "fromhub",
    "corpora": ["news"],
    "models": {"target": "hub:someone/target", "retrain": "hub:someone/retrain"},
    "revisions": {"someone/target": "0" * 40, "someone/retrain": "1" * 40},
    "evaluate": {"shots": 2},  # the generated corpus has no more
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # not where somebody has results


def full(**changes: Any) -> Json:
    return resolve({"corpora": ["news"], **changes}, SCHEMA)


def step(**numbers: float) -> StepPlan:
    zeros = dict.fromkeys(("parameters", "trained", "gpu_bytes", "host_bytes", "disk_bytes"), 0)
    return StepPlan(**{"step": "unlearn news npo_gdr full", "jobs": 1, **zeros, **numbers})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [None, "tiny", "paper", "smollm2"])
def test_every_step_of_the_plan_fits_what_its_kind_asks_for(name: str | None) -> None:
    config = configfiles.read([ROOT / f"config/{name}.yaml"] if name else [])
    found = requests.requests(config)
    plan = estimate(config, known_shapes(config))
    assert set(found) == set(config["resources"])
    for planned in plan:
        word = planned.step.split()[0]
        kind = requests.KINDS[word]
        assert found[kind].mem_mb * 1e6 >= 1.3 * planned.host_bytes, planned.step
        if config["resources"][kind]["gpu"]:
            hours = min(card.hours(planned) for card in CARDS if card.fits(planned))
            assert found[kind].runtime >= 3 * 60 * hours, planned.step
        else:
            assert found[kind].runtime * 60 >= 3 * planned.host_seconds, planned.step


def test_every_first_word_of_the_plan_has_a_kind() -> None:
    sweep = {"*/*/lora": {"rank": [8, 16]}}
    controls = {"adapters": ["full", "full_bf16", "lora"], "objectives": ["npo_gdr"]}
    config = full(sweep=sweep, selection={"rule": "muse"}, keep="adapters")
    plan = estimate(config, known_shapes(config))
    plan += estimate(other := full(controls=True, unlearn=controls), known_shapes(other))
    words = {planned.step.split()[0] for planned in plan}
    assert words - set(requests.KINDS) == {"match"}


def test_each_attempt_asks_for_more() -> None:
    first = Request(1000, 20)
    assert first.grown(1) == first
    assert first.grown(2) == Request(1500, 40)
    assert first.grown(3) == Request(2250, 60)


def test_a_number_is_taken_as_it_is() -> None:
    config = full(resources={"unlearn": NUMBERS, "tables": {"mem_mb": 9000}})
    found = requests.requests(config)
    assert found["unlearn"] == Request(1234, 56)
    assert found["tables"] == Request(9000, requests.OTHER_MINUTES)
    assert found["train"] == requests.requests(full())["train"]


def test_where_all_are_numbers_no_plan_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "estimate", None)
    kinds = [kind for kind in full()["resources"] if kind != "tables"]
    assert requests.requests(full(resources=dict.fromkeys(kinds, NUMBERS)))["data"] == Request(
        1234, 56
    )


def test_the_slowest_gpu_that_has_room_decides() -> None:
    config = full(resources={"unlearn": {"gpu": 1}})
    small = requests.planned(config, [step(gpu_bytes=1e9, flops=1e19)])["unlearn"]
    large = requests.planned(config, [step(gpu_bytes=70e9, flops=1e19)])["unlearn"]
    slow, fast = (
        next(card for card in CARDS if card.name == name) for name in ("RTX 4090", "A100-80")
    )
    assert small.runtime == pytest.approx(180 * slow.hours(step(flops=1e19)), abs=5)
    assert large.runtime == pytest.approx(180 * fast.hours(step(flops=1e19)), abs=5)


def test_on_processors_more_cores_take_less_time() -> None:
    work = [step(flops=1e15)]
    one, four = (
        requests.planned(full(resources={"unlearn": {"threads": threads}}), work)["unlearn"]
        for threads in (1, 4)
    )
    assert one.runtime == pytest.approx(3 * 1e15 / 2e10 / 60, abs=5)
    assert four.runtime == pytest.approx(one.runtime / 4, abs=5)


def test_beside_a_gpu_a_job_has_room_for_cuda_and_the_weights_it_reads() -> None:
    work = [step(parameters=1_000_000_000, host_bytes=10)]
    beside = requests.planned(full(resources={"unlearn": {"gpu": 1}}), work)["unlearn"]
    assert beside.mem_mb * 1e6 > 1.3 * (3 * 2**30 + 4e9)


def test_processes_that_share_a_training_have_their_memory_each() -> None:
    work = [step(host_bytes=10**10)]
    shared = {"sharding": "fsdp", "processes": 4, "batch_size": 8}
    one = requests.planned(full(), work)["unlearn"]
    four = requests.planned(full(unlearn={"settings": shared}), work)["unlearn"]
    assert four.mem_mb - one.mem_mb == pytest.approx(1.3 * 3 * 10**4, abs=100)


def test_an_adapter_that_is_scaled_is_there_three_times() -> None:
    work = [step(parameters=10**10, trained=10**9, host_bytes=10)]
    assert requests.planned(full(), work)["survival"].mem_mb * 1e6 > 1.3 * 12e9


def test_a_shape_on_the_hub_is_asked_for_and_not_downloaded() -> None:
    config = full(**HUB)
    with pytest.raises(InputError, match=r"'models\.shape' is not set.*hub:someone/target") as told:
        requests.requests(config)
    assert "resources.{data,unlearn,quantize,gptq,evaluate,survival}" in str(told.value)
    named = full(**HUB | {"models": {**HUB["models"], "shape": "smollm2-135m"}})
    assert requests.requests(named)["quantize"].mem_mb > 1500


@pytest.mark.parametrize("attempt", [1, 2])
def test_rules_ask_for_what_their_kind_does(tmp_path: Path, attempt: int) -> None:
    changes = tmp_path / "changes.yaml"
    resources = {"train": NUMBERS, "unlearn": NUMBERS | {"gpu": 1, "threads": 2}}
    changes.write_text(
        yaml.safe_dump({"controls": True, "keep": "adapters", "resources": resources}), "utf-8"
    )
    found = asked(tmp_path, "--attempt", str(attempt), "--configfile", str(TINY), str(changes))
    config = configfiles.read([TINY, changes])
    kinds = {kind: each.grown(attempt) for kind, each in requests.requests(config).items()}

    def of(rule: str) -> tuple[int, int]:
        assert len({str(job) for job in found[rule]}) == 1, found[rule]
        return found[rule][0]["mem_mb"], found[rule][0]["runtime"]

    for rule, kind in {
        "train_base": "train",
        "unlearn": "unlearn",
        "quantize_gptq": "gptq",
        "quantize_spared": "quantize",
        "scale_lora": "survival",
        "collect_metrics": "tables",
    }.items():
        assert of(rule) == (kinds[kind].mem_mb, kinds[kind].runtime), rule
    assert of("train_base") == ((1234, 56) if attempt == 1 else (1851, 112))
    assert found["unlearn"][0] | {"gpu": 1, "_cores": 2} == found["unlearn"][0]
    runs = config["control_settings"]["search_runs"]
    assert of("match_norm") == (kinds["unlearn"].mem_mb, runs * kinds["unlearn"].runtime)
    in_memory = kinds["evaluate"].mem_mb, 3 * kinds["evaluate"].runtime  # bf16, nf4, rtn3g64
    assert of("evaluate_in_memory") == in_memory


def test_what_cannot_be_known_is_told_only_where_it_matters(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    (tmp_path / "hub.yaml").write_text(yaml.safe_dump(HUB), encoding="utf-8")
    planned = snakemake(tmp_path, "--dry-run", "--configfile", "hub.yaml")
    assert planned.returncode == 0, planned.stderr
    limited = snakemake(tmp_path, "data", "--resources", "mem_mb=9000", "--configfile", "hub.yaml")
    assert limited.returncode == 1
    assert limited.stderr.splitlines()[-1].startswith("error: config key 'models.shape' is not set")
    assert not (tmp_path / "results").exists()


def test_what_jobs_ask_for_makes_none_run_again(
    tiny_run: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    kinds = configfiles.read([TINY])["resources"]
    changes = tmp_path / "changes.yaml"
    changes.write_text(yaml.safe_dump({"resources": dict.fromkeys(kinds, NUMBERS)}), "utf-8")
    planned = snakemake(tiny_run, "--dry-run", "--configfile", str(TINY), str(changes))
    assert planned.returncode == 0, planned.stderr
    assert "Nothing to be done" in planned.stderr + planned.stdout


def test_jobs_of_the_tiny_experiment_fit(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tiny_run)
    found = requests.requests(configfiles.read([TINY]))
    folders = {"models": "train", "unlearned": "unlearn", "eval": "evaluate", "data": "data"}
    folders |= {"quantized": "quantize", "survival": "survival", "tables": "tables"}
    measured = sorted((tiny_run / "results/tiny/benchmarks").rglob("*.tsv"))
    for file in measured:
        folder = file.relative_to(tiny_run / "results/tiny/benchmarks").parts[0]
        kind = "gptq" if file.stem.startswith("gptq") else folders.get(folder, "tables")
        with file.open(encoding="utf-8") as stream:
            (row,) = csv.DictReader(stream, delimiter="\t")
        if row["max_rss"] != "NA":  # too short to be seen
            assert float(row["max_rss"]) * 2**20 < found[kind].mem_mb * 1e6 / 1.3, file
        assert float(row["s"]) < 60 * found[kind].runtime, file
    assert len(measured) > 50


def test_a_job_of_a_cluster_asks_for_nothing_anew(tmp_path: Path, snakemake: Snakemake) -> None:
    (tmp_path / "hub.yaml").write_text(yaml.safe_dump(HUB), encoding="utf-8")
    run = snakemake(
        tmp_path,
        *("--mode", "remote", "--force", "--target-jobs", "generate_corpus:corpus=news"),
        *("--allowed-rules", "generate_corpus", "--configfile", "hub.yaml"),
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "results/fromhub/data/news/manifest.json").exists()
