"""Controls of an update's size: LoRA's made longer or shorter, and a full fine-tune's as large as
another's, by its learning rate.

Every run ends by the same stop rule, so that a larger rate means fewer and longer steps, and an
update of larger norm that forgets as much. What then differs from LoRA is its rank.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load_file, save_file

from qunlearn.models.checkpoints import ADAPTER_CONFIG, ADAPTER_WEIGHTS, is_adapter, is_diverged
from qunlearn.models.updates import update_norm
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, read_json, write_json
from qunlearn.run.manifest import MANIFEST, write_manifest
from qunlearn.settings.fixed import NORM_RUNS, NORM_TOLERANCE
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Objective
from qunlearn.training.trainer import locked
from qunlearn.training.unlearn_run import unlearn_and_keep

SEARCH = "search.json"
FIRST_SLOPE = 0.5  # of log norm over log lr, until two runs give it
SLOPES = (0.2, 2.0)


class Run(NamedTuple):
    """A finished training."""

    lr: float
    norm: float  # Frobenius, of its update; infinite where it diverged


def scale_lora(adapter: Path, size: str, target: Path, like: Path, output: Path) -> None:
    """Write the adapter whose update is so many times that of `adapter`, and its manifest.

    The B matrices are multiplied, in float32; settings and A matrices stay as they are. Of a run
    that diverged the output is marked as diverged and has no weights. `size` is `scaled<factor>`,
    or `matched`, to the norm of the update of `like`.
    """
    inputs, factor = {"adapter": adapter}, None
    diverged = is_diverged(adapter)
    if not diverged and not is_adapter(adapter):
        raise InputError(f"{adapter}: not a LoRA adapter; give the folder of a trained one")
    if size == "matched":
        inputs |= {"target": target, "like": like}
        if not (diverged := diverged or is_diverged(like)):
            factor = update_norm(target, like) / update_norm(target, adapter)
    else:
        factor = float(size.removeprefix("scaled"))
    with new_folder(output) as folder:
        if factor is not None and not diverged:
            scaled = load_file(adapter / ADAPTER_WEIGHTS)
            for name in scaled:
                scaled[name] *= factor if ".lora_B." in name else 1.0
            save_file(scaled, folder / ADAPTER_WEIGHTS, {"format": "pt"})
            shutil.copy(adapter / ADAPTER_CONFIG, folder / ADAPTER_CONFIG)
        write_manifest(
            folder,
            step="scale",
            settings={"factor": factor},
            inputs=inputs,
            status="diverged" if diverged else "ok",
        )


def match_norm(
    target: Path,
    corpus: Path,
    objective: str,
    settings: UnlearnSettings,
    *,
    start: Path,
    like: Path,
    seed: int,
    output: Path,
    checkpoints: Path,
) -> None:
    """Train `full` at other learning rates until its update's norm is that of `like`'s.

    Norms are over the matrices that are quantized. `output` gets the checkpoint of the run that
    matched, and `search.json`: the wanted norm and every run. A killed search goes on with the
    runs that were finished. Without an update to match (`start` or `like` diverged), the output
    is marked as diverged. The arguments are those of workflow/scripts/match_norm.py.

    Raises:
        InputError: no run came near enough.
    """
    inputs = {"target": target, "corpus": corpus, "start": start, "like": like}
    modules = Path(__file__), *Objective.parse(objective).module_files
    made_from = {"objective": objective, "settings": settings, "seed": seed, "inputs": inputs}
    # A larger rate ends sooner; a run that may only end every tenth update misses the norm.
    look = 2 if settings.log_every % 2 == 0 else 1

    facts: dict[str, Any] = {"objective": objective, "adapter": "full", "status": "diverged"}
    with locked(checkpoints, *modules, **made_from) as mine, new_folder(output) as work:
        if not is_diverged(start) and not is_diverged(like):
            goal = update_norm(target, like)
            print(f"wanted norm {goal:.4g}", flush=True)
            runs, folder = [Run(settings.lr, update_norm(target, start))], start
            while abs(runs[-1].norm / goal - 1) > NORM_TOLERANCE:
                if len(runs) > NORM_RUNS:
                    raise InputError(
                        f"full_matched: none of {NORM_RUNS} runs has a norm within "
                        f"{NORM_TOLERANCE:.0%} of {goal:.4g}; change unlearn.settings, or set "
                        "controls to false"
                    )
                lr = next_lr(runs, goal)
                settings, folder = replace(settings, lr=lr, log_every=look), mine / f"lr {lr}"
                if not (folder / MANIFEST).exists():
                    how: dict[str, Any] = {"seed": seed, "output": folder, "checkpoints": mine}
                    unlearn_and_keep(target, corpus, objective, "full", settings, **how)
                norm = math.inf if is_diverged(folder) else update_norm(target, folder)
                print(f"lr {lr:.3g}: norm {norm:.4g}", flush=True)
                runs.append(Run(lr, norm))
            shutil.copytree(folder, work, dirs_exist_ok=True)
            write_json(work / SEARCH, {"norm": goal, "runs": [run._asdict() for run in runs]})
            facts |= {"status": "ok", "updates": read_json(folder / MANIFEST)["updates"]}
        write_manifest(
            work,
            step="match_norm",
            settings=replace(settings, log_every=look),
            inputs=inputs,
            seed=seed,
            **facts,
        )


def next_lr(runs: Sequence[Run], goal: float) -> float:
    """Where to look next for the norm `goal`: linear in the logarithms of rate and norm.

    Between the largest rate below the goal and the smallest above it where there are both
    (half-way, where the one above diverged); else beyond the outermost, along the slope of the
    last two. Rounded to three digits, so that the rate can be written down.
    """
    below = max((run for run in runs if run.norm < goal), default=None)
    above = min((run for run in runs if run.norm >= goal), default=None)
    if below and above:
        share = 0.5
        if math.isfinite(above.norm):
            share = math.log(goal / below.norm) / math.log(above.norm / below.norm)
            # Never at a run's own rate: the norm falls where a run ends one look at its NLL sooner.
            share = min(max(share, 0.1), 0.9)
        lr = below.lr * (above.lr / below.lr) ** share
    else:
        nearest = below or above or runs[-1]
        slope = FIRST_SLOPE
        if len(runs) > 1 and math.isfinite(runs[-2].norm) and runs[-1].lr != runs[-2].lr:
            slope = math.log(runs[-1].norm / runs[-2].norm) / math.log(runs[-1].lr / runs[-2].lr)
        slope = min(max(slope, SLOPES[0]), SLOPES[1])
        lr = nearest.lr * (goal / nearest.norm) ** (1 / slope)
    return float(f"{lr:.3g}")
