"""Precision names: what they mean, and how an unknown one is refused."""

import pytest

from qunlearn.experiment.labels import precision_name
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError


@pytest.mark.parametrize(
    ("name", "method", "bits", "group", "midrise", "printed"),
    [
        ("bf16", "bf16", 16, None, False, "bf16"),
        ("int8", "int8", 8, None, False, "int8"),
        ("fp4", "fp4", 4, None, False, "FP4"),
        ("nf4", "nf4", 4, None, False, "NF4"),
        ("rtn4", "rtn", 4, None, False, "RTN4"),
        ("rtn3g64", "rtn", 3, 64, False, "RTN3 g64"),
        ("rtn4m", "rtn", 4, None, True, "RTN4 mid-rise"),
        ("rtn3g64m", "rtn", 3, 64, True, "RTN3 g64 mid-rise"),
        ("gptq4", "gptq", 4, 128, False, "GPTQ4"),
        ("gptq3", "gptq", 3, 128, False, "GPTQ3"),
        ("gptq4g64", "gptq", 4, 64, False, "GPTQ4 g64"),
        ("gptq8g1024", "gptq", 8, 1024, False, "GPTQ8 g1024"),
    ],
)
def test_names(
    name: str, method: str, bits: int, group: int | None, midrise: bool, printed: str
) -> None:
    assert Precision.parse(name) == Precision(name, method, bits, group, midrise)
    assert precision_name(name) == printed


@pytest.mark.parametrize(
    "name",
    [
        *("", "fp16", "nf8", "rtn", "rtn1", "rtn9", "rtn3g0", "rtn3g064", "rtn3mg64", "nf4m"),
        *(
            "gptq",
            "gptq5",
            "gptq6",
            "gptq4g",
            "gptq4g48",
            "gptq4g8",
            "gptq4m",
            "gptq4g64m",
            "GPTQ4",
        ),
    ],
)
def test_other_names_are_refused_with_those_that_would_do(name: str) -> None:
    with pytest.raises(
        InputError, match=f"^precision '{name}' is unknown; use .*bf16, .*rtn<bits>"
    ):
        Precision.parse(name)
