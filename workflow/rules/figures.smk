# The figures and pages of an experiment, and what each is made from; report.smk makes them.
def drawing(kind, category, result, reads, names=(), **labels):
    """A figure: its module, its category and labels in the report, its inputs and its flags."""
    given = flags({"figure": kind, "output": f"{RESULTS}/figures", "names": names} | PLACE)
    file = ROOT / f"src/qunlearn/report/figures/{module_of(kind)}.py"
    labels = {"result": result, **labels}
    return dict(module=file, category=category, labels=labels, reads=reads, flags=given)


SUMMARY = ["<results>/tables/summary.csv"]
BOTH = [*SUMMARY, "<results>/tables/mechanism.csv"]
FIGURES = {
    "survival_of_forgetting": ("Forgetting", "Forgetting by precision", SUMMARY),
    "reversion": ("Forgetting", "Reversion by grid", BOTH),
    "pareto": ("Forgetting", "Forgetting against Utility", SUMMARY),
    "loss_curves": ("Mechanism", "How unlearning went", RECORDS, TRAINED),
}
if GRIDS:
    FIGURES["slope"] = ("Forgetting", "From bf16 to coarser precisions", SUMMARY)
    SCORED = ["<results>/tables/scored.csv"]
    FIGURES["forecast"] = ("Mechanism", "Forecast against reversion", SCORED)
if CONFIG["controls"]:
    FIGURES["controls"] = ("Controls", "Reversion of the controls", BOTH)
if SWEPT:
    FIGURES["candidates"] = ("Selection", "Candidates and choice", SELECTIONS, SWEPT)
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
        expand("{model}/{precision}", precision=GRIDS, model=models),
        corpus=style.corpus_name(corpus),
        method=style.method_name(objective),
    )

PAGES = {
    "configuration": ("Configuration", "Every key as it was used"),
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
if AUDITED:
    FIGURES = {name: FIGURES[name] for name in ("survival_of_forgetting", "slope") if GRIDS}
    PAGES = {
        "configuration": PAGES["configuration"],
        "audit": ("Audit", "The verdict on every format"),
    }
# The report's first page, the answer in a few lines, and the tables that they are made from.
WORDS = {"story.rst": ["summary", "tests", "claims"], "answer.txt": ["summary"]}
