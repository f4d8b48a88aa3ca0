"""Choose one candidate of a grid, the same for all seeds, for the model of its cell.

Args:
    cell: <corpus>/<objective>/<adapter>.
    answers: folder with seed<k>/<point>.json, written by ask_candidates.py.
    trainings: folder with the candidates, seed<k>/<point>/epoch<e>/.
    points: of the grid, in its order.
    seeds: of the trainings; scores are means over them.
    target: target's answers, a file for each of its seeds.
    retrain: the same for retrain.
    rule: muse, pareto or fixed.
    questions: whether the tables leave the questions out (split) or report them too (test).
    models: for each seed, a folder for the chosen candidate, with hard links to its files
        where the disk allows; a previous one is replaced.
    records: for each seed, a folder for what is always kept: the log, manifest and adapter.
    output: JSON file: the choice, its reason and all candidates.
    named: the candidate that the rule fixed chooses.
"""

from pathlib import Path

from qunlearn.analysis.selection.choice import Questions, Rule
from qunlearn.run.cli import run_script


@run_script
def main(
    cell: str,
    answers: Path,
    trainings: Path,
    points: tuple[str, ...],
    seeds: tuple[int, ...],
    target: tuple[Path, ...],
    retrain: tuple[Path, ...],
    rule: Rule,
    questions: Questions,
    models: tuple[Path, ...],
    records: tuple[Path, ...],
    output: Path,
    named: str = "",
) -> None:
    from qunlearn.analysis.selection.choice import choose, gather, link_folder, reference, write
    from qunlearn.run.files import keep_record, new_folder, read_json
    from qunlearn.run.manifest import verify

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
    choice = choose(cell, rule, questions, named, number, candidates=candidates, **references)
    for seed, model, record in zip(seeds, models, records, strict=True):
        chosen = trainings / f"seed{seed}" / choice.chosen
        verify(chosen)
        with new_folder(model) as folder:
            link_folder(chosen, folder)
        keep_record(model, record)
    write(output, choice)
