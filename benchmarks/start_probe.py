"""What a job of a script costs before it does anything: `start_probe.py SCRIPT [--show-all]`.

Runs the script with a `main` of nothing but its import statements, so: Python's own start, tyro,
the imports, and the end of the process. What the library imports only once it works is in `LATER`.
"""

import ast
import runpy
import sys
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

OPENS_A_MODEL = (
    "from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaForCausalLM",
    "import qunlearn.models.checkpoints",
)
ASKS = (
    *OPENS_A_MODEL,
    "import qunlearn.evaluate.generate",
    "from rouge_score.rouge_scorer import RougeScorer",
)
LATER = {
    "evaluate_candidates.py": ASKS,
    "evaluate.py": ASKS,
    "finetune.py": OPENS_A_MODEL,
    "quantize.py": OPENS_A_MODEL,
    "unlearn.py": OPENS_A_MODEL,
}


@dataclass(frozen=True)
class Start:
    """How a job of a script begins.

    Attributes:
        imports: the import statements of its main, compiled, in their order.
        hides: whether it hides what it does not use before them.
    """

    imports: CodeType
    hides: bool


def start_of(script: Path) -> Start:
    """Read a script's `main`: its imports, wherever they stand in it, and what it hides."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    main = next(
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    nodes = list(ast.walk(main))
    found = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    statements = [ast.unparse(node) for node in sorted(found, key=lambda node: node.lineno)]
    calls = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    text = "\n".join((*statements, *LATER.get(script.name, ())))
    return Start(compile(text, str(script), "exec"), "hide_unused" in calls)


def probe(script: Path, show_all: bool) -> None:
    """Start the script and do nothing; with `show_all`, hide nothing from it."""
    from qunlearn.run.cli import hide_unused, run_script

    start = start_of(script)
    runpy.run_path(str(script), run_name="start_probe")

    def main() -> None:
        if start.hides and not show_all:
            hide_unused()
        exec(start.imports, {})

    sys.argv = [str(script)]
    run_script(main)


if __name__ == "__main__":
    probe(Path(sys.argv[1]), "--show-all" in sys.argv[2:])
