"""A run of unlearning: from the target on disk to what was trained, or to the word `diverged`."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from qunlearn.corpora.layout import load
from qunlearn.models.checkpoints import load_model, load_tokenizer, save_model
from qunlearn.run.files import new_folder, write_jsonl
from qunlearn.run.fingerprint import code_version
from qunlearn.run.manifest import Stopwatch, fingerprint, made_by, write_manifest
from qunlearn.settings.fixed import PROBE_ROWS, PROBE_TOKENS
from qunlearn.settings.unlearning import Adapter, UnlearnSettings
from qunlearn.training.adapters import (
    merge,
    narrow_frozen,
    read_adapter,
    weight_dtype,
    with_adapter,
)
from qunlearn.training.launch import launch
from qunlearn.training.objectives import Objective
from qunlearn.training.preemption import held
from qunlearn.training.rows import make_rows, pad_id, unique_rows
from qunlearn.training.sharding import check_sharding, gather, is_sharded, rank, shard
from qunlearn.training.snapshots import Snapshots, check_epochs, name_of
from qunlearn.training.trainer import LOG, Diverged
from qunlearn.training.unlearn import unlearn

DIVERGED = "diverged"


def unlearn_and_keep(
    target: Path,
    corpus: Path,
    objective: str,
    adapter: Adapter,
    settings: UnlearnSettings,
    *,
    seed: int,
    output: Path,
    checkpoints: Path,
    snapshots: Sequence[float] = (),
) -> None:
    """Unlearn and keep what was trained: a checkpoint in the precision it was trained in, or a
    PEFT adapter.

    A run that diverges is a result: the folder then holds its log and a manifest whose `status`
    is `diverged`, but no weights.

    Args:
        snapshots: epoch counts, of which the last ends the run. The output then holds no weights
            itself but a folder a count (`epoch5`), each of which is what a run of so many epochs
            leaves behind; its manifest says where the stop rule ended the run before them.

    Raises:
        InputError: target, corpus or settings are at fault.
    """
    check_sharding(settings, adapter)
    counts = check_epochs(snapshots, settings.epochs)
    if counts:
        settings = replace(settings, epochs=counts[-1])
    mine = checkpoints / fingerprint(
        inputs={"target": target, "corpus": corpus},
        objective=objective,
        adapter=adapter,
        settings=settings,
        seed=seed,
        snapshots=counts,
        code=code_version(Path(__file__), *Objective.parse(objective).module_files),
    )
    before = output.exists()
    with held(mine):
        if not before and made_by(output, mine.name):
            return  # by the process that was waited for
        arguments: dict[str, Any] = {
            "target": target,
            "corpus": corpus,
            "objective": objective,
            "adapter": adapter,
            "settings": settings,
            "seed": seed,
            "output": output,
            "mine": mine,
            "counts": counts,
        }
        if settings.sharding == "fsdp":
            launch(settings.processes, f"{__name__}:unlearn_in_process", **arguments)
        else:
            unlearn_in_process(**arguments)


def unlearn_in_process(
    target: Path,
    corpus: Path,
    objective: str,
    adapter: Adapter,
    settings: UnlearnSettings,
    *,
    seed: int,
    output: Path,
    mine: Path,
    counts: Sequence[float],
) -> None:
    """Unlearn in this process, which may be one of several of a training.

    Args:
        mine: the training's folder of checkpoints, and of what is to outlive a kill.
        counts: epochs of the snapshots, ascending; the last are the run's.
    """
    stopwatch = Stopwatch()
    inputs = {"target": target, "corpus": corpus}
    own = mine  # where this process keeps what is its own
    if rank() > 0:  # the first process writes; the others do the same into nothing
        own = mine / f"rank{rank()}"
        output = own / "output"
    raw, tokenizer = load(corpus).raw, load_tokenizer(target)
    forget, retain = (
        unique_rows(make_rows(raw[split], tokenizer, settings.max_tokens, settings.chunking))
        for split in ("forget", "retain1")
    )
    # On these merging an adapter is checked: short, since both forms' logits are held at once.
    probe = [row[:PROBE_TOKENS] for row in forget[:PROBE_ROWS] + retain[:PROBE_ROWS]]
    pad = pad_id(tokenizer)
    model: Any = with_adapter(load_model(target, weight_dtype(adapter)), adapter, settings, seed)
    if settings.sharding == "fsdp":
        shard(model, offload=settings.offload)
    save = partial(save_weights, tokenizer)
    shots = Snapshots(counts, len(forget), settings.batch_size, own / "snapshots", save)
    describe = partial(
        write_manifest,
        step="unlearn",
        inputs=inputs,
        stopwatch=stopwatch,
        seed=seed,
        objective=objective,
        adapter=adapter,
    )
    with new_folder(output) as work:
        facts: dict[str, Any] = {"status": "ok"}
        try:
            with narrow_frozen(model, torch.bfloat16 if settings.autocast else torch.float32):
                log = unlearn(
                    model, pad, forget, retain, objective, adapter, settings, seed, mine, shots
                )
        except Diverged as error:
            facts = {"status": DIVERGED, "reason": str(error)}
            log = error.log
        ends = {count: _take(shots, count, model, work / name_of(count), facts) for count in counts}
        if not counts and facts["status"] == "ok":
            save(model, work)
            if adapter == "lora":
                facts["merge_error"] = merge(model, probe, pad)
        device = next(model.parameters()).device
        del model  # before snapshots of an adapter are merged, each into a model of its own
        for count, end in ends.items():
            folder = work / name_of(count)
            if adapter == "lora" and end["status"] == "ok":
                end["merge_error"] = merge(read_adapter(target, folder, device), probe, pad)
            whose = replace(settings, epochs=count)
            until = shots.log_of(count, log, settings.log_every)
            write_jsonl(folder / LOG, until)
            describe(folder, settings=whose, updates=_updates(until), **end)
        if counts:
            facts["snapshots"] = {name_of(count): end["status"] for count, end in ends.items()}
        write_jsonl(work / LOG, log)
        describe(work, settings=settings, updates=_updates(log), run=mine.name, **facts)


def save_weights(tokenizer: PreTrainedTokenizerBase, model: Any, folder: Path) -> None:
    """Write a checkpoint with its tokenizer, or a PEFT adapter."""
    if is_sharded(model):
        state = gather(model)
        if rank() == 0:
            model.save_pretrained(folder, state_dict=state)
            tokenizer.save_pretrained(folder)
        return
    if not hasattr(model, "merge_and_unload"):
        save_model(model, tokenizer, folder)
        return
    # The adapter is kept beside whatever target it is merged into; a path would only tie it down.
    model.peft_config["default"].base_model_name_or_path = "target"
    model.save_pretrained(folder)


def _take(
    shots: Snapshots, epochs: float, model: Any, folder: Path, run: dict[str, Any]
) -> dict[str, Any]:
    """Put a snapshot's weights into `folder`; say what became of the run until then.

    A run that the stop rule ended before the snapshot was due would have ended there as well with
    fewer epochs: its last weights are the snapshot's.
    """
    folder.mkdir()
    if shots.take(epochs, folder):
        return {"status": "ok", "stopped": False}
    if run["status"] == "ok":
        shots.save(model, folder)
    return run | {"stopped": run["status"] == "ok"}


def _updates(log: Sequence[dict[str, Any]]) -> int:
    return max((line["step"] for line in log), default=0)
