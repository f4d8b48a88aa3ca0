"""A run of unlearning: from the target on disk to what was trained, or to the word `diverged`."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from qunlearn.corpora.layout import load
from qunlearn.models.checkpoints import load_model, load_tokenizer
from qunlearn.run.files import new_folder, write_jsonl
from qunlearn.run.manifest import write_manifest
from qunlearn.settings.unlearning import Adapter, UnlearnSettings, snapshot_name
from qunlearn.training.adapters import narrow_frozen, weight_dtype, with_adapter
from qunlearn.training.objectives import Objective
from qunlearn.training.rows import count_updates, make_rows, unique_rows
from qunlearn.training.sharding import check_sharding, launch, rank, shard
from qunlearn.training.trainer import LOG, Diverged, locked
from qunlearn.training.unlearn import save_weights, unlearn


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

    The arguments are those of workflow/scripts/unlearn.py.

    Raises:
        InputError: target, corpus or settings are at fault.
    """
    check_sharding(settings, adapter)
    counts = sorted(set(snapshots))
    if counts:
        settings = replace(settings, epochs=counts[-1])
    run: dict[str, Any] = {"target": target, "corpus": corpus, "objective": objective}
    run |= {"adapter": adapter, "settings": settings, "seed": seed, "counts": counts}
    modules = Path(__file__), *Objective.parse(objective).module_files
    with locked(checkpoints, *modules, **run) as mine:
        if settings.sharding == "fsdp":
            function = f"{__name__}:{unlearn_in_process.__name__}"
            launch(settings.processes, function, **run, output=output, mine=mine)
        else:
            unlearn_in_process(**run, output=output, mine=mine)


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
        shard(model)
    if settings.autocast:
        narrow_frozen(model, torch.bfloat16)
    ends = {
        count: count_updates(count, len(forget), settings.batch_size)
        for count in counts or [settings.epochs]
    }
    # Kept till all is done.
    snapshots = {update: own / f"snapshot-{update}" for update in ends.values() if counts}

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
            folder, end = work / snapshot_name(count) if counts else work, facts
            folder.mkdir(exist_ok=True)
            if counts and snapshots[update].exists():
                shutil.copytree(snapshots[update], folder, dirs_exist_ok=True)
                end = {"status": "ok"}
            elif facts["status"] == "ok":  # a shorter run would have ended here as well
                save_weights(model, folder)
            until = [line for line in log if line["step"] <= update]
            describe(folder, replace(settings, epochs=count), until, **end)
        if counts:
            describe(work, settings, log, **facts)
