"""A run of unlearning: from the target on disk to what was trained, or to the word `diverged`."""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from qunlearn.corpora.layout import load
from qunlearn.models.checkpoints import load_model, load_tokenizer
from qunlearn.run.files import new_folder, write_jsonl
from qunlearn.run.fingerprint import code_version
from qunlearn.run.manifest import fingerprint, write_manifest
from qunlearn.settings.unlearning import Adapter, UnlearnSettings, snapshot_name
from qunlearn.training.adapters import narrow_frozen, weight_dtype, with_adapter
from qunlearn.training.launch import launch
from qunlearn.training.objectives import Objective
from qunlearn.training.rows import make_rows, unique_rows
from qunlearn.training.sharding import check_sharding, rank, shard
from qunlearn.training.trainer import LOG, Diverged, locked
from qunlearn.training.unlearn import count_updates, save_weights, unlearn


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
            leaves behind.

    Raises:
        InputError: target, corpus or settings are at fault.
    """
    check_sharding(settings, adapter)
    counts = sorted(set(snapshots))
    if counts:
        settings = replace(settings, epochs=counts[-1])
    made_from: dict[str, Any] = {"objective": objective, "adapter": adapter, "settings": settings}
    made_from |= {"seed": seed, "counts": counts}
    mine = checkpoints / fingerprint(
        **made_from,
        inputs={"target": target, "corpus": corpus},
        code=code_version(Path(__file__), *Objective.parse(objective).module_files),
    )
    run: Callable[..., None] = unlearn_in_process
    if settings.sharding == "fsdp":
        run = partial(launch, settings.processes, f"{__name__}:unlearn_in_process")
    with locked(mine):
        run(target=target, corpus=corpus, **made_from, output=output, mine=mine)


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
    own = mine  # where this process keeps what is its own
    if rank() > 0:  # the first process writes; the others do the same into nothing
        own = mine / f"rank{rank()}"
        output = own / "output"
    raw, tokenizer = load(corpus).raw, load_tokenizer(target)
    forget, retain = (
        unique_rows(make_rows(raw[split], tokenizer, settings.max_tokens, settings.chunking))
        for split in ("forget", "retain1")
    )
    model: Any = with_adapter(load_model(target, weight_dtype(adapter)), adapter, settings, seed)
    if settings.sharding == "fsdp":
        shard(model, offload=settings.offload)
    if settings.autocast:
        narrow_frozen(model, torch.bfloat16)
    ends = {count: count_updates(count, len(forget), settings.batch_size) for count in counts}
    snapshots = {update: own / f"snapshot-{update}" for update in ends.values()}  # till all is done

    def describe(folder: Path, whose: UnlearnSettings, log: Any, **facts: Any) -> None:
        if (folder / "config.json").exists():
            tokenizer.save_pretrained(folder)
        write_jsonl(folder / LOG, log)
        write_manifest(
            folder,
            step="unlearn",
            settings=whose,
            inputs={"target": target, "corpus": corpus},
            seed=seed,
            objective=objective,
            adapter=adapter,
            updates=max((line["step"] for line in log), default=0),
            **facts,
        )

    with new_folder(output) as work:
        facts = {"status": "ok"}
        try:
            how = objective, adapter, settings, seed, mine, snapshots
            log = unlearn(model, forget, retain, *how)
        except Diverged as error:
            facts, log = {"status": "diverged", "reason": str(error)}, error.log
        for count, update in ends.items():
            folder, end = work / snapshot_name(count), {"status": "ok"}
            if snapshots[update].exists():
                shutil.copytree(snapshots[update], folder)
            else:  # a shorter run would have ended here as well
                folder.mkdir()
                end = facts
                if facts["status"] == "ok":
                    save_weights(model, folder)
            until = [line for line in log if line["step"] <= update]
            describe(folder, replace(settings, epochs=count), until, **end)
        if not counts and facts["status"] == "ok":
            save_weights(model, work)
        describe(work, settings, log, **facts)
