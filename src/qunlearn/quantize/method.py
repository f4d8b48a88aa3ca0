"""The registry of precisions: the modules of `quantize/methods`, which nothing else lists.

Settings, plan, rules, environments, tables and model cards take what they need from here. To add a
method, write a module with `METHODS`, a tuple of instances, and a test. It must import torch and
its library inside its functions, since every run of Snakemake reads the registry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import getfile
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar

from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.quantize.calibration import Texts
    from qunlearn.quantize.grids import Grid
    from qunlearn.quantize.packed import PackedMatrix


@dataclass(frozen=True)
class Precision:
    """A parsed precision name."""

    name: str  # as written in the configuration, e.g. `rtn3g64`
    method: str  # its registered method, `rtn`
    bits: int  # per code; 16 for bf16
    group: int | None = None  # neighbours in a row with one scale; None: a row, or blocks
    midrise: bool = False  # whether 0 lies between two points of the grid (`rtn…m`)

    @classmethod
    def parse(cls, name: str) -> Precision:
        """Read a name such as `nf4` or `rtn3g64`; an InputError where no method knows it."""
        for method in methods().values():
            if found := method.parse(name):
                return found
        forms = ", ".join(method.form for method in methods().values())
        raise InputError(f"precision '{name}' is unknown; use {forms}")


class Method:
    """A way to quantize; the defaults are those of plain rounding."""

    name: ClassVar[str]  # as in `Precision.method`
    form: ClassVar[str]  # of its precisions' names, for messages and documentation
    pattern: ClassVar[str] = ""  # of that form; groups `bits`, `group`, `midrise`; empty: `name`
    bits: ClassVar[int] = 4  # for precisions whose names do not give them
    group: ClassVar[int | None] = None  # likewise
    block: ClassVar[int] = 1  # weights of a row that it quantizes together, without a group
    environment: ClassVar[str] = "quantize"  # the file below `envs/` that it runs in
    packages: ClassVar[frozenset[str]] = frozenset()  # of `cli.OPTIONAL`, to write or read
    library: ClassVar[str] = "torch"  # the package that rounds; the card gives its version
    dense: ClassVar[bool] = True  # whether a folder holds the points of the grid, not codes
    # Whether it fits its rounding to texts, which `write` then receives. Codes then depend on more
    # than the weights and can only be read from a folder.
    calibrated: ClassVar[bool] = False
    # Whether evaluation runs the quantized layers, whose output depends on the batch.
    live: ClassVar[bool] = False
    speed: ClassVar[float] = 6.4e7  # weights that a core rounds per second; unused if `calibrated`
    stored: ClassVar[float] = 32.0  # bits per weight in a folder, with its share of the scales
    printed: ClassVar[str] = ""  # in tables and figures; empty: as `label` derives it
    scheme: ClassVar[str]  # the grid, for the card; `{span}`: the weights that share a scale
    storage: ClassVar[str] = "float32 points of the grid; larger than the codes would be"
    note: ClassVar[str] = ""  # a footnote of tables, with `library` and calibration in braces
    evaluated: ClassVar[str] = "on the dequantized weights"  # how, for the card
    install: ClassVar[tuple[str, ...]] = ("transformers",)  # beside PyTorch, to run `loading`
    # For the card: Python that loads a folder without this project, and paragraphs below it.
    loading: ClassVar[str] = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
"""
    warnings: ClassVar[tuple[str, ...]] = ()
    filed_under: ClassVar[str] = "transformers"  # the library, on hubs

    def parse(self, name: str) -> Precision | None:
        """The precision of this name, or None if it is not one of this method's."""
        if not (match := re.fullmatch(self.pattern or self.name, name)):
            return None
        found = match.groupdict()
        group = int(found.get("group") or self.group or 0) or None
        bits = int(found.get("bits") or self.bits)
        return Precision(name, self.name, bits, group, bool(found.get("midrise")))

    def describe(self, precision: Precision) -> str:
        """`scheme` of a precision."""
        group = f"for {precision.group} neighbouring weights of a row"
        return self.scheme.format(span=group if precision.group else "a row")

    def stored_bits(self, precision: Precision) -> float:
        """`stored` of a precision."""
        return self.stored

    def shipped_bits(self, precision: Precision) -> float:
        """Bits per weight of packed codes and their scales, even where a folder is `dense`."""
        if not self.dense:
            return self.stored_bits(precision)
        return precision.bits + (16 / precision.group if precision.group else 0)

    def label(self, precision: Precision) -> str:
        """How tables and figures print it: `RTN3 g64`."""
        return self.printed or re.sub(r"(?<=\d)G(?=\d)", " g", precision.name.upper())

    def footnote(self, quantization: Mapping[str, Any]) -> str:
        """`note` with the settings of the configuration's section `quantization`."""
        return self.note.format(library=self.library, **quantization["calibration"])

    def check(self, layers: Mapping[str, nn.Linear], precision: Precision) -> None:
        """Raise an InputError, before any work, if groups or blocks do not divide the rows."""
        group = precision.group or self.block
        widths = {name: layer.in_features for name, layer in layers.items()}
        for name, width in widths.items():
            if width % group:
                fit = [n for n in (32, 64, 128, 256) if not any(w % n for w in widths.values())]
                stem = re.sub(r"(?<=\d)\D.*", "", precision.name)
                use = [f"{stem}g{n}" for n in fit if precision.group] or ["int8", f"rtn{self.bits}"]
                raise InputError(
                    f"precision '{precision.name}': group {group} does not divide the {width} "
                    f"inputs of {name}; use {', '.join(use)}"
                )

    def write(
        self,
        source: Path,
        base: Path | None,
        precision: Precision,
        out: Path,
        texts: Texts | None = None,
    ) -> dict[str, Any]:
        """Write `source` in a precision, with its tokenizer, into the folder `out`.

        Args:
            source: a dense checkpoint, or a LoRA adapter, which is merged into `base` in float32.
            base: None for a dense checkpoint.
            texts: what `calibrated` methods draw from.

        Returns:
            Facts for the manifest: `quantized_matrices`, `storage`, and the method's own.

        Raises:
            InputError: a bad checkpoint, or a precision that does not fit the model.
        """
        from qunlearn.models.checkpoints import load_dense, load_tokenizer, save_model
        from qunlearn.models.updates import quantizable_layers

        model = load_dense(source, base)
        layers = quantizable_layers(model)
        self.check(layers, precision)
        save_model(self.change(model, layers, precision), load_tokenizer(base or source), out)
        count = len(layers) if precision.bits < 16 else 0
        return {"quantized_matrices": count, "storage": self.storage}

    def change(
        self, model: PreTrainedModel, layers: Mapping[str, nn.Linear], precision: Precision
    ) -> PreTrainedModel:
        """The dense float32 model with its layers rounded to the grid, here in place."""
        import torch

        with torch.no_grad():
            for layer in layers.values():
                grid = self.grid(layer.weight, precision)
                layer.weight.copy_(grid.values(grid.codes(layer.weight)))
        return model

    def load(
        self, folder: Path, precision: Precision, dtype: torch.dtype, device: torch.device
    ) -> PreTrainedModel:
        """Read what `write` wrote, to compute in `dtype` on `device`: dense, unless `live`."""
        from qunlearn.models.checkpoints import load_model

        return load_model(folder, dtype, device)

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """The grid for a matrix or some of its rows, [out, in]; not if `calibrated`."""
        raise NotImplementedError

    def read_packed(self, folder: Path, name: str, precision: Precision) -> PackedMatrix:
        """One matrix of a `calibrated` method's folder, as shipped."""
        raise NotImplementedError


@cache
def methods() -> dict[str, Method]:
    """Every method by its name, in the order of their modules."""
    names = [module.name for module in iter_modules([str(Path(__file__).parent / "methods")])]
    modules = [import_module(f"qunlearn.quantize.methods.{name}") for name in names]
    return {method.name: method for module in modules for method in module.METHODS}


def method_of(precision: Precision | str) -> Method:
    """The method of a precision or of its name; raises what `Precision.parse` raises."""
    parsed = Precision.parse(precision) if isinstance(precision, str) else precision
    return methods()[parsed.method]


def packed_pairs(
    precisions: Sequence[Precision], packed: Sequence[Path]
) -> dict[str, tuple[Path, Path]]:
    """The two folders of each precision whose codes are only known from folders, by its name.

    An InputError where `packed` is not a pair for each of them, in their order.
    """
    needing = [each.name for each in precisions if method_of(each).calibrated]
    if len(packed) != 2 * len(needing):
        raise InputError(f"--packed: give two folders, of target and model, for each of {needing}")
    return dict(zip(needing, zip(packed[::2], packed[1::2], strict=True), strict=True))


def load_for_evaluation(
    folder: Path, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a quantized checkpoint to evaluate it: in bfloat16 on the GPU if there is one, which is
    how packed weights are multiplied, else in float32 (`benchmarks/bench_sixteen_bits.py`).

    Raises:
        InputError: a bad checkpoint, or a precision that is unknown or not the folder's.
    """
    import torch

    from qunlearn.models.checkpoints import load_tokenizer

    method = method_of(precision)
    made = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    held = made["settings"]["name"] if made.get("step") == "quantize" else precision
    packed = "quantization_config" in read_json(folder / "config.json")
    if held == precision and packed == method.dense:
        held = "packed weights" if packed else "dense weights"
    if held != precision:
        raise InputError(f"{folder}: holds {held}, not {precision}; name its own precision")
    gpu = torch.cuda.is_available()
    dtype, device = torch.bfloat16 if gpu else torch.float32, torch.device("cuda" if gpu else "cpu")
    model = method.load(folder, Precision.parse(precision), dtype, device)
    return model.eval(), load_tokenizer(folder)


def module_file(precision: str) -> Path:
    """The module of a precision's method, whose code decides what its jobs write."""
    return Path(getfile(type(method_of(precision))))
