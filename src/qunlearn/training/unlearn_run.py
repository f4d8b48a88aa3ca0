"""A run of unlearning: from the target on disk to what was trained, or to the word `diverged`."""

import shutil
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from qunlearn.checkpoints import load_model, load_tokenizer, save_model
from qunlearn.codeversion import code_version
from qunlearn.corpora.layout import load
from qunlearn.files import new_folder, write_jsonl
from qunlearn.provenance import Stopwatch, fingerprint, write_manifest
from qunlearn.settings.unlearning import Adapter, Objective, UnlearnSettings
from qunlearn.training.adapters import merge, weight_dtype, with_adapter
from qunlearn.training.rows import make_rows, pad_id, unique_rows
from qunlearn.training.trainer import LOG, Diverged
from qunlearn.training.unlearn import unlearn

DIVERGED = "diverged"


def unlearn_and_keep(
    target: Path,
    corpus: Path,
    objective: Objective,
    adapter: Adapter,
    settings: UnlearnSettings,
    *,
    seed: int,
    output: Path,
    checkpoints: Path,
) -> None:
    """Unlearn and keep what was trained: a checkpoint in the precision it was trained in, or a
    PEFT adapter.

    A run that diverges is a result: the folder then holds its log and a manifest whose `status`
    is `diverged`, but no weights.

    Raises:
        InputError: target or corpus are at fault.
    """
    stopwatch = Stopwatch()
    inputs = {"target": target, "corpus": corpus}
    mine = checkpoints / fingerprint(
        inputs=inputs,
        objective=objective,
        adapter=adapter,
        settings=settings,
        seed=seed,
        code=code_version(Path(__file__)),
    )
    raw, tokenizer = load(corpus).raw, load_tokenizer(target)
    forget, retain = (
        unique_rows(make_rows(raw[split], tokenizer, settings.max_tokens, settings.chunking))
        for split in ("forget", "retain1")
    )
    facts: dict[str, Any] = {"objective": objective, "adapter": adapter, "status": "ok"}
    model = with_adapter(load_model(target, weight_dtype(adapter)), adapter, settings, seed)
    with new_folder(output) as work:
        try:
            log = unlearn(
                model, pad_id(tokenizer), forget, retain, objective, adapter, settings, seed, mine
            )
        except Diverged as error:
            facts |= {"status": DIVERGED, "reason": str(error)}
            log = error.log
        else:
            facts |= _keep_weights(model, tokenizer, (forget[:8] + retain[:8]), work)
        facts["updates"] = max((line["step"] for line in log), default=0)
        write_jsonl(work / LOG, log)
        write_manifest(
            work,
            step="unlearn",
            settings=settings,
            inputs=inputs,
            stopwatch=stopwatch,
            seed=seed,
            **facts,
        )
    shutil.rmtree(mine, ignore_errors=True)


def _keep_weights(
    model: Any, tokenizer: PreTrainedTokenizerBase, probe: list[list[int]], folder: Path
) -> dict[str, Any]:
    """Save a checkpoint, or an adapter with the error that merging it makes on a few rows."""
    if not hasattr(model, "merge_and_unload"):
        save_model(model, tokenizer, folder)
        return {}
    # The adapter is kept beside whatever target it is merged into; a path would only tie it down.
    model.peft_config["default"].base_model_name_or_path = "target"
    model.save_pretrained(folder)
    return {"merge_error": merge(model, probe, pad_id(tokenizer))}
