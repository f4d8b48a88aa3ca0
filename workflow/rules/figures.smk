# The figures and pages of an experiment, and what each is made from; report.smk makes them.
def drawing(kind, category, result, reads, shown, **labels):
    """A figure: its module, its category and labels in the report, its inputs and its flags."""
    given = flags({"figure": kind, "output": f"{RESULTS}/figures"} | shown)
    file = ROOT / f"src/qunlearn/report/figures/{module_of(kind)}.py"
    labels = {"result": result, **labels}
    return dict(module=file, category=category, labels=labels, reads=reads, flags=given)


SUMMARY = {"summary": f"{RESULTS}/tables/summary.csv"}
UPDATE = {"survival": f"{RESULTS}/survival"}
SCORED = {"scored": f"{RESULTS}/tables/scored.csv"}
LAID = SUMMARY | {"mechanism": f"{RESULTS}/tables/mechanism.csv"}
READ, READ_LAID = [*SUMMARY.values()], [*LAID.values()]
RUNS = {"unlearned": f"{RESULTS}/records/unlearned", "models": TRAINED}
PLAIN = {"precisions": controls.plain_grids(CONFIG["precisions"])}
CHOICES = {"selections": [f"{RESULTS}/selection/{cell}.json" for cell in SWEPT]}
FIGURES = {
    "survival_of_forgetting": ("Forgetting", "Forgetting by precision", READ, SUMMARY),
    "reversion": ("Forgetting", "Reversion by grid", READ_LAID, LAID),
    "pareto": ("Forgetting", "Forgetting against Utility", READ, SUMMARY),
    "loss_curves": ("Mechanism", "How unlearning went", RECORDS, RUNS),
}
if GRIDS:
    FIGURES["slope"] = ("Forgetting", "From bf16 to coarser precisions", READ, SUMMARY)
    FIGURES["forecast"] = ("Mechanism", "Forecast against reversion", [*SCORED.values()], SCORED)
if CONFIG["controls"]:
    FIGURES["controls"] = ("Controls", "Reversion of the controls", READ_LAID, LAID | PLAIN)
if SWEPT:
    FIGURES["candidates"] = ("Selection", "Candidates and choice", SELECTIONS, CHOICES)
FIGURES = {name: drawing(name, *parts) for name, parts in FIGURES.items()}
OF_ONE_UPDATE = {
    "update_survival": "What arrives of each matrix",
    "update_over_step": "Updates in steps of the grid",
}
for kind, corpus, objective in product(
    OF_ONE_UPDATE if GRIDS else [], CONFIG["corpora"], CONFIG["unlearn"]["objectives"]
):
    variants = CONFIG["unlearn"]["adapters"]
    models = [f"{corpus}/{objective}/{x}/seed{CONFIG['seeds'][0]}" for x in variants]
    FIGURES[f"{kind}_{corpus}_{objective}"] = drawing(
        *(kind, "Mechanism", OF_ONE_UPDATE[kind]),
        expand("<results>/survival/{model}", model=models),
        UPDATE | {"cells": expand("{model}/{precision}", precision=GRIDS, model=models)},
        corpus=style.corpus_name(corpus),
        method=style.method_name(objective),
    )

MANIFESTS = expand("<results>/eval/{cell}/manifest.json", cell=CELLS) + RECORDS
PAGES = {
    "configuration": ("Provenance", "Configuration"),
    "versions": ("Provenance", "What ran, with what"),
    "reversion": ("Forgetting", "Reversion, all metrics (table)"),
    "mechanism": ("Mechanism", "What arrives of the updates (table)"),
    "score": ("Mechanism", "The forecast from the weights, scored"),
    "claims": ("Claims", "The paper's claims, judged"),
    "candidates": ("Selection", "All candidates, and why one was chosen"),
}
if not SWEPT:
    del PAGES["candidates"]
if not GRIDS:
    del PAGES["score"]
# The report's first page, the answer in a few lines, and the tables that they are made from.
WORDS = {"story.rst": ["mechanism", "summary", "tests", "claims"], "answer.txt": ["summary"]}
