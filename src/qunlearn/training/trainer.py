"""The one way that a model is trained here: transformers' Trainer, resumable and repeatable."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from signal import SIGTERM, signal
from types import FrameType
from typing import Any

import torch
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from filelock import FileLock
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer import TRAINER_STATE_NAME
from transformers.trainer_utils import get_last_checkpoint

from qunlearn.run.errors import InputError
from qunlearn.run.fingerprint import code_version
from qunlearn.run.manifest import fingerprint
from qunlearn.run.signals import leave, listen
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.sharding import processes, summed

LOG = "train_log.jsonl"  # of a run, in its output folder
OPTIMIZERS = {"adamw": "adamw_torch_fused", "adamw_8bit": "adamw_bnb_8bit"}
"""What the Trainer calls them. The 8-bit one keeps its moments of large tensors in blocks of 256
values that share a scale (Dettmers et al. 2022): 2 bytes a weight instead of 8."""
RECOMPUTING = "activation_checkpointing"
if not hasattr(TrainingArguments, RECOMPUTING):  # transformers before 5.23
    RECOMPUTING = "gradient_checkpointing"


class Diverged(Exception):
    """The loss or the weights are no longer finite: a result of the run, not a fault of it."""

    log: list[dict[str, Any]]  # of the run up to here


class RepeatableTrainer(Trainer):
    """A Trainer that logs the parts of its loss and stops at the first loss that is not finite.

    AdamW without weight decay, one checkpoint kept, nothing reported anywhere.

    Args:
        checkpoints: folder of this run's checkpoints.
        rows: that a forward pass takes.
        autocast: whether products are in bf16.
        optimizer: instead of that of the settings.
        more: passed on to TrainingArguments.
    """

    def __init__(
        self,
        model: Any,
        settings: TrainSettings | UnlearnSettings,
        checkpoints: Path,
        data: Sequence[Any],
        collate: Callable[[Any], Any],
        *,
        updates: int,
        rows: int,
        seed: int,
        autocast: bool,
        optimizer: type[Optimizer] | None = None,
        callbacks: Sequence[TrainerCallback] = (),
        **more: Any,
    ) -> None:
        use_deterministic_kernels()
        args = TrainingArguments(
            output_dir=str(checkpoints),
            max_steps=updates,
            learning_rate=settings.lr,
            optim=OPTIMIZERS[getattr(settings, "optimizer", "adamw")],
            weight_decay=0.0,
            per_device_train_batch_size=rows,
            logging_steps=settings.log_every,
            save_strategy="steps",
            save_steps=settings.checkpoint_every,
            save_total_limit=1,
            seed=seed,
            **{f"{RECOMPUTING}_kwargs": {"use_reentrant": False}},
            **{RECOMPUTING: settings.gradient_checkpointing},
            train_sampling_strategy="sequential",
            use_cpu=not torch.cuda.is_available(),
            remove_unused_columns=False,
            dataloader_pin_memory=False,  # batches hold what is on the GPU already
            report_to="none",
            **more,
        )
        # Else it would spread each batch over all GPUs that it sees, and change the numbers.
        args._n_gpu = min(args.n_gpu, 1)
        self.stop = StopOnSignal()
        super().__init__(
            model,
            args,
            collate,  # type: ignore[arg-type]
            data,  # type: ignore[arg-type]
            callbacks=[*callbacks, self.stop],
            optimizer_cls_and_kwargs=(optimizer, {"lr": settings.lr}) if optimizer else None,
        )
        # Our losses are means; the Trainer is to divide them by the accumulation steps.
        self.model_accepts_loss_kwargs = False
        # Its cache holds a bf16 copy of every trained weight until a pass ends: 13 GB at 7B, when
        # checkpointing lets the layers' own copies go.
        how: Any = {"enabled": autocast, "cache_enabled": not settings.gradient_checkpointing}
        self.autocast = partial(torch.autocast, args.device.type, dtype=torch.bfloat16, **how)
        if args.device.type == "cpu":  # where fused attention is slow in the backward pass
            model.set_attn_implementation("eager")
        self._parts: dict[str, list[Tensor]] = {}

    def create_accelerator_and_postprocess(self) -> None:
        """As the Trainer does it, but with FSDP on the CPU too: accelerate (1.15) leaves it out."""
        super().create_accelerator_and_postprocess()
        state = self.accelerator.state
        if self.args.fsdp and state.distributed_type == DistributedType.MULTI_CPU:
            state.fsdp_plugin = FullyShardedDataParallelPlugin(**self.args.fsdp_plugin_args)
            state.distributed_type = DistributedType.FSDP
            self.is_fsdp_enabled = True

    def note(self, **parts: Tensor) -> None:
        """Keep parts of the loss; the next line of the log has their means."""
        for name, value in parts.items():
            self._parts.setdefault(name, []).append(value.detach())

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Add the mean of each part since the last line."""
        for name, values in self._parts.items():
            mean = summed(torch.stack(values).mean().cpu()) / processes()
            logs[name] = round(mean.item(), 6)
        self._parts.clear()
        super().log(logs, *args, **kwargs)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:
        """One forward and backward pass; raises Diverged on a loss that is not finite."""
        loss: Tensor = super().training_step(*args, **kwargs)
        together = summed(loss.cpu()) if processes() > 1 else loss
        if not torch.isfinite(together):
            raise Diverged(f"the loss is {together.item()} at update {self.state.global_step + 1}")
        return loss

    def run(self) -> list[dict[str, Any]]:
        """Train, from the last whole checkpoint if there is one; return the log, one dict a line.

        Raises:
            Diverged: the loss or a weight is not finite.
            InputError: out of GPU memory.
            SystemExit: the process was asked to end; there is a checkpoint of where it was.
        """
        try:
            with self.accelerator.main_process_first():  # one deletes what is broken
                checkpoint = last_checkpoint(Path(self.args.output_dir))
            if checkpoint:
                print(f"resuming from {Path(checkpoint).name}", flush=True)
            with self.stop.listening():
                self.train(resume_from_checkpoint=checkpoint)
            if self.stop.stopped:
                update = self.state.global_step
                leave(self.stop.stopped, f"the same command resumes after update {update}")
            check_finite(self.model, "the last update")
        except Diverged as error:
            error.log = self._lines()
            raise
        except torch.OutOfMemoryError as error:
            raise InputError(
                f"out of GPU memory in training ({str(error).split('. ')[0]}): lower "
                "micro_batch_size or batch_size, or set gradient_checkpointing to true"
            ) from None
        return self._lines()

    def _lines(self) -> list[dict[str, Any]]:
        """All lines but the Trainer's summary, which covers only what was run since a resumption.

        Checkpoints sort the keys of the lines before them.
        """
        lines = [line for line in self.state.log_history if "train_runtime" not in line]
        return [dict(sorted(line.items())) for line in lines]


class StopOnSignal(TrainerCallback):
    """Saves a checkpoint and stops the training after the update in which SIGTERM or Ctrl-C came.

    The Trainer's own `enable_jit_checkpoint` (transformers 5.23) listens to SIGTERM alone, waits
    three seconds, and saves between an update's forward pass and its step: the resumed run draws
    other dropout and ends with other weights.
    """

    stopped = 0  # the signal's number, once it has stopped the training
    _came = 0

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block, only note the signal."""
        before = listen(self._note)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came = number

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        """Stop, unless this was the last update anyway; all processes of a training together."""
        if summed(torch.tensor(float(self._came))) and not control.should_training_stop:
            self.stopped = self._came or SIGTERM  # another process got it
            control.should_training_stop = control.should_save = True
        return control


@contextmanager
def locked(checkpoints: Path, *modules: Path, **made_from: Any) -> Iterator[Path]:
    """The folder of one training's checkpoints, for this process alone; deleted at the end.

    On a cluster, jobs outlive a driver that is killed, and the next driver sends the same training
    again: it waits here until the first one is done. The code of `modules` and what it is
    `made_from` tell a training from others.
    """
    mine = checkpoints / fingerprint(**made_from, code=code_version(*modules))
    mine.mkdir(parents=True, exist_ok=True)
    with FileLock(mine / "lock"):
        yield mine
        shutil.rmtree(mine, ignore_errors=True)


def last_checkpoint(folder: Path) -> str | None:
    """The newest checkpoint in `folder`; those that a kill or a full disk left unfinished are
    deleted. The Trainer writes its state last.
    """
    for checkpoint in folder.glob("checkpoint-*"):
        try:
            json.loads((checkpoint / TRAINER_STATE_NAME).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            shutil.rmtree(checkpoint)
    found: str | None = get_last_checkpoint(str(folder)) if folder.exists() else None
    return found


def check_finite(model: nn.Module, when: str) -> None:
    """Raise Diverged where a weight is not finite; `when` says after which update."""
    for name, weight in model.named_parameters():
        own = weight.to_local() if isinstance(weight, DTensor) else weight
        if summed(1.0 - torch.isfinite(own).all().float().cpu()):
            raise Diverged(f"{name} is not finite after {when}")


def use_deterministic_kernels() -> None:
    """On a GPU, take deterministic kernels where there are some, and go on where there are none.

    Of the others torch warns: the backward pass of the memory-efficient attention, which padded
    rows take, sums in the order in which its blocks end. An error instead of the warning would end
    such a training. cuBLAS's workspace is set in `cli`, before CUDA starts.
    """
    if torch.cuda.is_available():
        torch.use_deterministic_algorithms(True, warn_only=True)
        # Filling all new memory with NaN finds reads of it; there are none, and it takes time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
