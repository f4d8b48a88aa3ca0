"""Choose one candidate of a grid by MUSE's rule, the same for all seeds, for the model of its cell.

Reads sweep/<cell>/seed<k>/<point>/epoch<e>/ and selection/<cell>/seed<k>/<point>.json. Writes the
choice, its reason and all candidates to selection/<cell>.json, hard links to the chosen candidate
into unlearned/<cell>/seed<k>/, and what is always kept of it into records/.

Args:
    results: the experiment's folder.
    cell: <corpus>/<objective>/<adapter>.
    points: of the grid, in its order.
    seeds: of the trainings; scores are means over them.
    target: target's scores, a file for each of its seeds.
    retrain: the same for retrain.
"""

from pathlib import Path
from typing import Any

from qunlearn.run.cli import run_script


@run_script
def main(
    results: Path,
    cell: str,
    points: tuple[str, ...],
    seeds: tuple[int, ...],
    target: tuple[Path, ...],
    retrain: tuple[Path, ...],
) -> None:
    import shutil

    from qunlearn.analysis.selection.choice import choose, gather, reference, write
    from qunlearn.run.errors import InputError
    from qunlearn.run.files import keep_record, link_or_copy, new_folder, read_json
    from qunlearn.run.manifest import verify

    def scores(file: Path) -> Any:
        return read_json(file)["models"]

    selection = results / "selection"
    files = {point: [f"{cell}/seed{seed}/{point}.json" for seed in seeds] for point in points}
    ours = {point: [scores(selection / file) for file in own] for point, own in files.items()}
    theirs = {"target": list(map(scores, target)), "retrain": list(map(scores, retrain))}
    references = {name: reference(name, found) for name, found in theirs.items()}
    items = next(iter(theirs["target"][0].values()))["items"]
    number = {"forget": len(items["knowmem"]), "retain": len(items["utility"])}
    choice = choose(cell, number, candidates=gather(points, ours), **references)
    for own in (f"{cell}/seed{seed}" for seed in seeds):
        chosen, model = results / "sweep" / own / choice.chosen, results / "unlearned" / own
        if not chosen.is_dir():
            raise InputError(f"{chosen}: the chosen candidate is missing; train the grid again")
        verify(chosen)
        with new_folder(model) as folder:
            shutil.copytree(chosen, folder, copy_function=link_or_copy, dirs_exist_ok=True)
        keep_record(model, results / "records/unlearned" / own)
    write(selection / f"{cell}.json", choice)
