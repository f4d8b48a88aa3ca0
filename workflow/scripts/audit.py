"""Write audit.json and audit.md: does what was removed stay removed in each format?

Args:
    results: the experiment's folder, with tables/, proof/ and eval/.
    cells: those of the summary.
    experiment: its name.
    floor: share of usefulness below which a model counts as broken.
    fail_if: verdicts with which the audit fails.
    before: what to call the model that was not unlearned.
    after: what to call the model that is audited.
    retrain: what to call the model that never knew; empty if there is none.
"""

from pathlib import Path

from qunlearn.experiment.names import AuditVerdict
from qunlearn.run.cli import run_script


@run_script
def main(
    results: Path,
    cells: tuple[str, ...],
    experiment: str,
    floor: float,
    before: str,
    after: str,
    retrain: str = "",
    fail_if: tuple[AuditVerdict, ...] = (),
) -> None:
    from qunlearn.analysis.lineage import Manifest
    from qunlearn.analysis.summary import summaries
    from qunlearn.experiment.names import BEFORE, GIVEN, Cell
    from qunlearn.report.audit import Proof, audit, markdown
    from qunlearn.report.footnotes import processors, recorded
    from qunlearn.run.files import read_json, write_json, write_text

    proofs = {}
    for name, cell in {name: Cell.parse(name) for name in cells}.items():
        if cell.objective == GIVEN and cell.precision != BEFORE:
            proof = read_json(results / "proof" / f"{name}.json")
            proof.pop("precision")
            made = Manifest.read(results / "eval" / name)
            fault = "its model is not the one that was proved to be quantized"
            made.check(made.get("inputs", "model") == proof["sha256"], fault)
            proofs[cell.corpus, cell.precision] = Proof(**proof)
    corpora = [cell.split("/")[0] for cell in cells]
    notes = [
        *recorded(results / "data", corpora, "overlaps"),
        *recorded(results / "eval", cells, "shortfalls"),
    ]
    if ran := processors(results, cells):
        notes.append(f"Processor: {ran}.")
    models = {"before": before, "after": after} | ({"retrain": retrain} if retrain else {})
    found = summaries(results / "tables/summary.csv")
    own = audit(found, proofs, floor, fail_if, experiment, models, notes)
    write_json(results / "tables/audit.json", own.model_dump(mode="json"))
    write_text(results / "tables/audit.md", markdown(own))
