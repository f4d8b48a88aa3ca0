"""Choose one candidate of a grid, the same for all seeds."""

from pathlib import Path

from qunlearn.analysis.selection.choice import Questions, Rule
from qunlearn.run.cli import run_script


def main(
    cell: str,
    answers: Path,
    points: tuple[str, ...],
    seeds: tuple[int, ...],
    target: tuple[Path, ...],
    retrain: tuple[Path, ...],
    rule: Rule,
    questions: Questions,
    output: Path,
    named: str = "",
) -> None:
    """Choose one candidate of a grid by a rule, from what all of them answered.

    Args:
        cell: <corpus>/<objective>/<adapter>.
        answers: folder with seed<k>/<point>.json, as of ask_candidates.py.
        points: of the grid, in its order.
        seeds: of the trainings; scores are means over them.
        target: what target answered, a file for each of its seeds.
        retrain: the same of retrain.
        rule: muse, pareto or fixed.
        questions: whether the tables leave the questions out (split) or report them too (test).
        output: JSON file: the choice, its reason and all candidates.
        named: the candidate that the rule fixed takes.
    """
    from qunlearn.analysis.selection.choice import choose, gather, reference, write
    from qunlearn.run.files import read_json

    ours = {
        point: [read_json(answers / f"seed{seed}" / f"{point}.json")["models"] for seed in seeds]
        for point in points
    }
    files = {"target": target, "retrain": retrain}
    theirs = {name: [read_json(path)["models"] for path in files[name]] for name in files}
    references = {name: reference(name, found) for name, found in theirs.items()}
    items = next(iter(theirs["target"][0].values()))["items"]
    number = {"forget": len(items["knowmem"]), "retain": len(items["utility"])}
    candidates = gather(points, ours)
    write(output, choose(cell, rule, questions, named, number, candidates=candidates, **references))


if __name__ == "__main__":
    run_script(main)
