"""The registry of precisions: one module of `quantize/methods` each, which nothing else lists.

Settings, plan, rules, environments, tables and model cards take what they need from here. To add a
method, write a module with `METHODS`, a tuple of instances, and a test. It loads torch and its
library on first use: the registry is read whenever the workflow's graph is put together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
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
    from torch import Tensor, nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.quantize.calibration import Texts
    from qunlearn.quantize.grids import Grid
    from qunlearn.quantize.packed import PackedMatrix


@dataclass(frozen=True)
class Precision:
    """A parsed precision name.

    Attributes:
        name: as written in the configuration, e.g. `rtn3g64`.
        method: the registered method that made sense of it, e.g. `rtn`.
        bits: bits a code (16 for bf16).
        group: weights that share one scale along a row; None where the method sets its own blocks
            or a whole row shares one.
        midrise: whether 0 lies between two points of the grid instead of being one (`rtn…m`).
    """

    name: str
    method: str
    bits: int
    group: int | None = None
    midrise: bool = False

    @classmethod
    def parse(cls, name: str) -> Precision:
        """Read a name such as `bf16`, `nf4`, `gptq4` or `rtn3g64`.

        Raises:
            InputError: no method knows the name.
        """
        for method in methods().values():
            if found := method.parse(name):
                return found
        forms = ", ".join(method.form for method in methods().values())
        raise InputError(f"precision '{name}' is unknown; use {forms}")


@dataclass(frozen=True)
class Recipe:
    """How a quantized folder is loaded without this project: a part of its model card.

    Attributes:
        packages: what to install besides PyTorch.
        code: Python, run in the folder.
        warnings: paragraphs below it.
        library: what hubs file the model under.
    """

    packages: tuple[str, ...] = ("transformers",)
    code: str = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
"""
    warnings: tuple[str, ...] = ()
    library: str = "transformers"


class Method:
    """A way to quantize; the defaults are those of plain rounding in memory.

    Attributes:
        name: as in `Precision.method`.
        form: how its precisions are written, for messages and documentation.
        pattern: matches the same, with groups `bits`, `group` and `midrise`; empty: the name alone.
        bits, group: of precisions whose names do not give them.
        environment: the file below `envs/` that quantizes.
        packages: optional packages (`imports.OPTIONAL`) that writing and reading need.
        library: the distribution that does the rounding; its version is on the card.
        calibrated: whether it fits its rounding to texts, which `write` is then given. The codes
            of a weight then depend on more than the matrix: they can only be read from a folder.
        live: whether evaluation runs the quantized layers, whose output depends on the batch, and
            not dense weights.
        sixteen_bit: whether a GPU evaluates it in bfloat16.
        speed: weights that a core rounds in a second, measured; unused of `calibrated` ones.
        stored: bits that a weight takes in a folder, its share of scales included.
        printed: how tables and figures print it, where that is not as in `label`.
        scheme: the grid in words, for the card; `{span}` stands for the weights that share a scale.
        storage: what the tensors of a folder are, likewise.
        note: a footnote of tables, with `library` and settings of the calibration in braces.
        evaluated: how the metrics were computed, the end of a sentence.
        recipe: how to load a folder elsewhere.
    """

    name: ClassVar[str]
    form: ClassVar[str]
    pattern: ClassVar[str] = ""
    bits: ClassVar[int] = 4
    group: ClassVar[int | None] = None
    environment: ClassVar[str] = "quantize"
    packages: ClassVar[frozenset[str]] = frozenset()
    library: ClassVar[str] = "torch"
    calibrated: ClassVar[bool] = False
    live: ClassVar[bool] = False
    sixteen_bit: ClassVar[bool] = False
    speed: ClassVar[float] = 6.4e7
    stored: ClassVar[float] = 32.0
    printed: ClassVar[str] = ""
    scheme: ClassVar[str]
    storage: ClassVar[str] = "float32 points of the grid; larger than the codes would be"
    note: ClassVar[str] = ""
    evaluated: ClassVar[str] = "on the weights dequantized to float32"
    recipe: ClassVar[Recipe] = Recipe()

    def parse(self, name: str) -> Precision | None:
        """The precision that a name means, or None where it is not one of this method's."""
        if not (match := re.fullmatch(self.pattern or self.name, name)):
            return None
        found = match.groupdict()
        group = int(found.get("group") or self.group or 0) or None
        bits = int(found.get("bits") or self.bits)
        return Precision(name, self.name, bits, group, bool(found.get("midrise")))

    def describe(self, precision: Precision) -> str:
        """`scheme` of a precision."""
        group = precision.group
        span = f"for {group} neighbouring weights of a row" if group else "a row"
        return self.scheme.format(span=span)

    def stored_bits(self, precision: Precision) -> float:
        """`stored` of a precision."""
        return self.stored

    def label(self, precision: Precision) -> str:
        """How tables and figures print it: `RTN3 g64`."""
        return self.printed or re.sub(r"(?<=\d)G(?=\d)", " g", precision.name.upper())

    def footnote(self, quantization: Mapping[str, Any]) -> str:
        """`note` with the settings of the configuration's section `quantization`."""
        return self.note.format(library=self.library, **quantization["calibration"])

    def check(self, layers: Mapping[str, nn.Linear], precision: Precision) -> None:
        """Complain about layers that do not fit before any work: the group must divide their rows.

        Raises:
            InputError: names the first layer at fault and what would fit.
        """
        group = precision.group or 1
        widths = {name: layer.in_features for name, layer in layers.items()}
        for name, width in widths.items():
            if width % group:
                fit = [n for n in (32, 64, 128, 256) if not any(w % n for w in widths.values())]
                names = [f"{precision.method}{precision.bits}g{n}" for n in fit]
                raise InputError(
                    f"precision '{precision.name}': group {group} does not divide the {width} "
                    f"inputs of {name}; use {', '.join(names) or f'rtn{precision.bits}'}"
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
            base: the checkpoint that the adapter was trained on; None of a dense source.
            out: made where it is absent.
            texts: what `calibrated` methods draw from; unused by others.

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

    def load(self, folder: Path, precision: Precision) -> PreTrainedModel:
        """Read what `write` wrote, ready to be evaluated: on the GPU if there is one.

        Raises:
            InputError: a bad checkpoint, or one of another kind.
        """
        import torch

        from qunlearn.models.checkpoints import load_model

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        half = device.type == "cuda" and self.sixteen_bit
        return load_model(folder, torch.bfloat16 if half else torch.float32, device)

    def grid(self, weight: Tensor, precision: Precision) -> Grid:
        """The points that a matrix, or some rows of it, are rounded to; not if `calibrated`.

        Args:
            weight: [out, in], float32.
        """
        raise NotImplementedError

    def read_packed(self, folder: Path, name: str, precision: Precision) -> PackedMatrix:
        """One matrix of a `calibrated` method's folder, as it is shipped.

        Raises:
            InputError: the folder is missing or holds something else.
        """
        raise NotImplementedError


@cache
def methods() -> dict[str, Method]:
    """Every method by its name, in the order of their modules."""
    from qunlearn.quantize import methods as package

    return {
        method.name: method
        for module in iter_modules(package.__path__)
        for method in import_module(f"{package.__name__}.{module.name}").METHODS
    }


def method_of(precision: Precision | str) -> Method:
    """The method of a precision or of its name.

    Raises:
        InputError: as `Precision.parse`.
    """
    parsed = Precision.parse(precision) if isinstance(precision, str) else precision
    return methods()[parsed.method]


def load_for_evaluation(
    folder: Path, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a quantized checkpoint, ready to be evaluated: on the GPU if there is one.

    Raises:
        InputError: a bad checkpoint, an unknown precision, or not the folder's own.
    """
    from qunlearn.models.checkpoints import load_tokenizer

    method = method_of(precision)
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    stored = manifest["settings"]["name"] if manifest.get("step") == "quantize" else precision
    if stored != precision:
        raise InputError(f"{folder}: holds {stored}, not {precision}; name its own precision")
    packed = "quantization_config" in read_json(folder / "config.json")
    if packed != (method.library != "torch"):
        held = "quantized by a library" if packed else "dense"
        raise InputError(f"{folder}: the weights are {held}, so they are not {precision}")
    return method.load(folder, Precision.parse(precision)).eval(), load_tokenizer(folder)


def module_file(precision: str) -> Path:
    """The module of a precision's method, whose code decides what its jobs write."""
    return Path(getfile(type(method_of(precision))))
