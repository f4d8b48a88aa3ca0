"""The learning rate at which a full fine-tune's update grows as large as another update.

Every run ends by the same stop rule, so that a larger rate means fewer and longer steps, and an
update of larger norm that forgets as much. What then differs from LoRA is its rank.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from qunlearn.models.checkpoints import is_diverged
from qunlearn.models.updates import update_norm
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder, read_json, write_json
from qunlearn.run.fingerprint import code_version
from qunlearn.run.manifest import MANIFEST, fingerprint, write_manifest
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.objectives import Objective
from qunlearn.training.trainer import locked
from qunlearn.training.unlearn_run import unlearn_and_keep

SEARCH = "search.json"
FIRST_SLOPE = 0.5  # of log norm over log lr, until two runs give it
SLOPES = (0.2, 2.0)


class Run(NamedTuple):
    """A finished training: its learning rate and the Frobenius norm of its update.

    The norm is infinite where the run diverged.
    """

    lr: float
    norm: float


def match_norm(
    target: Path,
    corpus: Path,
    objective: str,
    settings: UnlearnSettings,
    *,
    start: Path,
    like: Path,
    tolerance: float,
    search_runs: int,
    seed: int,
    output: Path,
    checkpoints: Path,
) -> None:
    """Train `full` at other learning rates until its update's norm is that of `like`'s.

    Norms are over the matrices that are quantized. `output` gets the checkpoint of the run that
    matched, and `search.json`: the wanted norm and every run. A killed search goes on with the
    runs that were finished. Without an update to match (`start` or `like` diverged), the output
    is marked as diverged.

    Args:
        settings: of the run in `start`, whose learning rate the search starts from.
        like: the unlearned model whose norm is wanted.
        tolerance: how far the norm may be off, as a share of the wanted one.
        search_runs: trainings that the search may take.

    Raises:
        InputError: no run came near enough.
    """
    inputs = {"target": target, "corpus": corpus, "start": start, "like": like}
    code = code_version(Path(__file__), *Objective.parse(objective).module_files)
    made_from = {"objective": objective, "settings": settings, "seed": seed, "inputs": inputs}
    mine = checkpoints / fingerprint(**made_from, code=code)
    # A larger rate ends sooner; a run that may only end every tenth update misses the norm.
    look = 2 if settings.log_every % 2 == 0 else 1

    def train(lr: float) -> tuple[Run, Path]:
        folder, whose = mine / f"lr {lr}", replace(settings, lr=lr, log_every=look)
        if not (folder / MANIFEST).exists():
            where: dict[str, Any] = {"seed": seed, "output": folder, "checkpoints": mine}
            unlearn_and_keep(target, corpus, objective, "full", whose, **where)
        norm = math.inf if is_diverged(folder) else update_norm(target, folder)
        print(f"lr {lr:.3g}: norm {norm:.4g}", flush=True)
        return Run(lr, norm), folder

    facts: dict[str, Any] = {"objective": objective, "adapter": "full", "status": "diverged"}
    with locked(mine), new_folder(output) as work:
        if not is_diverged(start) and not is_diverged(like):
            goal = update_norm(target, like)
            print(f"wanted norm {goal:.4g}", flush=True)
            runs, folder = [Run(settings.lr, update_norm(target, start))], start
            while abs(runs[-1].norm / goal - 1) > tolerance:
                if len(runs) > search_runs:
                    nearest = min(runs, key=lambda run: abs(run.norm - goal))
                    raise InputError(
                        f"control_settings.search_runs: none of {search_runs} runs brings the "
                        f"update's norm to {goal:.4g} within {tolerance:.0%}; the nearest is "
                        f"{nearest.norm:.4g} at lr {nearest.lr:g}: raise it, or "
                        "control_settings.tolerance"
                    )
                run, folder = train(next_lr(runs, goal))
                runs.append(run)
            shutil.copytree(folder, work, dirs_exist_ok=True)
            write_json(work / SEARCH, {"norm": goal, "runs": [run._asdict() for run in runs]})
            settings = replace(settings, lr=runs[-1].lr, log_every=look)
            facts |= {"status": "ok", "updates": read_json(folder / MANIFEST)["updates"]}
        write_manifest(
            work,
            step="match_norm",
            settings=settings,
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
