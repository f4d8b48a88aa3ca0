# Which figures an experiment has, and what each is drawn from; report.smk draws them.
def drawing(kind, category, result, reads, shown, **labels):
    """A figure: its module, its category and labels in the report, its inputs and its flags."""
    given = {"figure": kind, "output": f"{RESULTS}/figures"} | shown
    labels = {"result": result, **labels}
    return dict(kind=kind, category=category, labels=labels, reads=reads, flags=flags(given))


SUMMARY = {"summary": f"{RESULTS}/tables/summary.csv"}
UPDATE = {"survival": f"{RESULTS}/survival"}
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
if CONFIG["controls"]:
    FIGURES["controls"] = ("Controls", "Reversion of the controls", READ_LAID, LAID | PLAIN)
if SWEPT:
    FIGURES["candidates"] = ("Selection", "Candidates and choice", SELECTIONS, CHOICES)
FIGURES = {name: drawing(name, *parts) for name, parts in FIGURES.items()}
FIGURES |= {
    f"{kind}_{corpus}_{objective}": drawing(
        *(kind, "Mechanism", title),
        expand("<results>/survival/{model}", model=models),
        UPDATE | {"cells": expand("{model}/{precision}", precision=GRIDS, model=models)},
        corpus=style.corpus_name(corpus),
        method=style.method_name(objective),
    )
    for kind, title in [
        ("update_survival", "What arrives of each matrix"),
        ("update_over_step", "Updates in steps of the grid"),
    ]
    for corpus in CONFIG["corpora"]
    for objective in CONFIG["unlearn"]["objectives"]
    for models in [
        [
            f"{corpus}/{objective}/{adapter}/seed{CONFIG['seeds'][0]}"
            for adapter in CONFIG["unlearn"]["adapters"]
        ]
    ]
    if GRIDS
}
