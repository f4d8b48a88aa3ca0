"""The way that every input takes, and what is asked of each refusal.

The same examples come each time (`derandomize`).
"""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from qunlearn import preflight
from qunlearn.experiment import configfiles, inputs
from qunlearn.run.errors import InputError

Json = dict[str, Any]


def every(number: int, strategy: SearchStrategy[Any], check: Callable[[Any], object]) -> None:
    """Call `check` with `number` different examples."""
    seen = set()

    @settings(
        # Many come twice, and which depends on the constants of the modules that are loaded.
        max_examples=4 * number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        shown = repr(example)
        if len(seen) < number and shown not in seen:
            check(example)
            seen.add(shown)

    run()
    assert len(seen) == number, f"{len(seen)} examples of {number}, again and again"


def admit(files: Iterable[Path], *, machine: bool = True) -> Json:
    """What Snakefile and scripts do with a configuration before the first job.

    Raises:
        InputError: it is refused.
    """
    full = configfiles.read(list(files))
    inputs.check_given(full, list(files))
    if machine:
        results = Path("results") / full["experiment"]
        preflight.preflight(full, results, cluster=False, python=full["python"])
    return full


def complaint(call: Callable[[], object], *words: str) -> str:
    """The line that `call` is refused with; any other exception is the caller's failure."""
    try:
        call()
    except InputError as error:
        line = str(error)
    else:
        raise AssertionError("it was taken")
    assert line.isprintable() and 10 < len(line) < 2100, line
    assert "Traceback" not in line and "Error(" not in line, line
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"
    return line


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


@contextlib.contextmanager
def nothing_new(folder: Path) -> Iterator[None]:
    """Complain if a file or folder appeared in `folder`."""
    before = sorted(folder.iterdir())
    yield
    assert sorted(folder.iterdir()) == before, "something was left behind"
