# Which models and records a job reads, and the flags that name them.
def own(name):
    """Base, target or retrain, with a folder a seed where each seed trains its own."""
    return configuration.reference_id(CONFIG, name, "{seed}")


def checkpoint(name, corpus, seed=""):
    """The folder of base, target or retrain: made or fetched by the workflow, or the user's own."""
    source = sources.source_of(CONFIG, name, corpus)
    if name in sources.fetched(CONFIG, corpus):
        return out(f"models/{corpus}/{name}")
    if source.kind == "made":
        return out(f"models/{corpus}/{configuration.reference_id(CONFIG, name, seed)}")
    return source.value


def checkpoint_of(name):
    """An input function: the folder of base, target or retrain of a job's corpus and seed."""
    return lambda wildcards: checkpoint(
        name, wildcards.corpus, wildcards.get("seed", "")
    )


FETCHED = {
    f"{corpus}/{name}": sources.source_of(CONFIG, name, corpus)
    for corpus in CONFIG["corpora"]
    for name in sources.fetched(CONFIG, corpus)
}


MADE = [
    f"{corpus}/{configuration.reference_id(CONFIG, name, seed)}"
    for corpus in CONFIG["corpora"]
    for name, source in sources.used(CONFIG, corpus).items()
    if source.kind == "made"
    for seed in (
        CONFIG["seeds"] if CONFIG["seed_scope"] == "all" else CONFIG["seeds"][:1]
    )
]


def folder_files(folder, pattern):
    """The files of a user's folder: Snakemake sees when one changes. The folder, if there are none."""
    found = (str(path) for path in Path(folder).glob(pattern) if path.is_file())
    return sorted(found) or folder


def files_of(source):
    """What of a source is on disk here, and so is the input of a job."""
    if source is None or source.kind in ("made", "hub"):
        return []
    if source.kind == "gguf":
        return str(sources.gguf_file(source.value))
    return folder_files(source.value, "*.*")


def tokenizer_for(given):
    """Where the tokenizer of a `<corpus>/<name>` comes from that is not the checkpoint's own."""
    return sources.tokenizer_of(CONFIG, given.split("/")[0])


def revision_of(repository):
    """The commit of a hub repository that the configuration pins."""
    return CONFIG["revisions"].get(repository) or ""


def as_source(flag, source):
    """The flags of fetch_model.py that name a source and, of the hub's, its commit."""
    if source is None:
        return ""
    given = {flag: source}
    if source.kind == "hub":
        commit = revision_of(source.value)
        given["revision" if flag == "source" else f"{flag}_revision"] = commit
    return flags(given)


def adapter_of(model):
    """The variant in a model id; `none` of target and retrain."""
    objective, *rest = model.split("/")
    return "none" if objective in ("target", "retrain") else rest[0]


def seed_of(model):
    """The seed in a model id; none of a target or retrain that serves all seeds."""
    last = model.split("/")[-1]
    return last.removeprefix("seed") if last.startswith("seed") else ""


def reference_id(name, model):
    """The id of the target or retrain that a model is compared with: its seed's, or everyone's."""
    return configuration.reference_id(CONFIG, name, seed_of(model))


def model_of(wildcards):
    """The folder that a model id stands for."""
    name = wildcards.model.split("/")[0]
    if name in ("target", "retrain"):
        return checkpoint(name, wildcards.corpus, seed_of(wildcards.model))
    return out(f"unlearned/{wildcards.corpus}/{wildcards.model}")


def target_of(wildcards):
    """The checkpoint that an unlearned model started from."""
    return checkpoint("target", wildcards.corpus, seed_of(wildcards.model))


def merged_into(wildcards):
    """The target under an adapter; every other model stands by itself."""
    if not adapter_of(wildcards.model).startswith("lora"):
        return []
    return target_of(wildcards)


def as_base(wildcards, input):
    """The flag that names the checkpoint under an adapter."""
    return f"--base {shlex.quote(str(input.base))}" if input.base else ""


def kept(output):
    """An output that stays where `keep_models` says so; else it goes once it was read."""
    return output if KEEP else temp(output)


def quantizing(wildcards):
    """The kind of job that quantizes: methods that calibrate need more."""
    return "gptq" if method_of(wildcards.precision).calibrated else "quantize"


def quantizing_environment(wildcards):
    """The environment of a precision's method."""
    return f"../../envs/{method_of(wildcards.precision).environment}.yaml"


def calibration_texts(wildcards):
    """The corpus, for methods that fit their rounding to texts."""
    return out("data/{corpus}") if method_of(wildcards.precision).calibrated else []


def calibration_flags(wildcards):
    """The corpus, and how these texts are drawn from it."""
    corpus = calibration_texts(wildcards)
    if not corpus:
        return ""
    # Not from `input`: what is made of it is no part of what Snakemake compares with the last run.
    corpus = flags({"corpus": corpus.format(corpus=wildcards.corpus)})
    return f"{corpus} {flags(CONFIG['quantization']['calibration'])}"


def retrain_flag(wildcards, input):
    """The flag that names the reference of PrivLeak."""
    return f"--retrain {shlex.quote(str(input.retrain))}" if input.retrain else ""


def retrain_scores(wildcards):
    """The reference of PrivLeak; retrain itself, in the reference's precision, is its own."""
    retrain = reference_id("retrain", wildcards.model)
    if (wildcards.model, wildcards.precision) == (retrain, REFERENCE_PRECISION):
        return []
    return out(
        f"eval/{wildcards.corpus}/{retrain}/{REFERENCE_PRECISION}/privleak.jsonl"
    )


def measured_precisions(wildcards):
    """The precisions that a model is evaluated in, whose grids its update is laid on."""
    return controls.precisions(CONFIG, adapter_of(wildcards.model))


def packed_checkpoints(wildcards):
    """Of target and model, where codes depend on more than the matrix: GPTQ's on its calibration."""
    return [
        out(f"quantized/{wildcards.corpus}/{model}/{precision}")
        for precision in measured_precisions(wildcards)
        if method_of(precision).packed
        for model in (reference_id("target", wildcards.model), wildcards.model)
    ]


def questions(part):
    """The corpus with the questions of a part, `selection` or `test`: all, if they are not parted."""
    return out(f"questions/{{corpus}}/{part}" if SPLIT_QUESTIONS else "data/{corpus}")


def point_of(wildcards):
    """The point of a grid that a training has the settings of."""
    cell = f"{wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}"
    return next(point for point in POINTS[cell] if point.name == wildcards.point)


def training_flags(point):
    """The flags of unlearn.py that make a point's candidates."""
    snapshots = " ".join(f"{epochs:g}" for epochs in point.snapshots)
    return f"{flags(point.settings)} --snapshots {snapshots}"


def candidate_files(cell, folder, ending, seeds):
    """A file or folder of each training of a cell, seed after seed."""
    return [
        out(f"{folder}/{cell}/seed{seed}/{point.name}{ending}")
        for seed in seeds
        for point in POINTS[cell]
    ]


def reference_answers(name, cell):
    """What target or retrain answered to the questions that candidates are asked: a file a seed."""
    corpus = cell.split("/")[0]
    ids = [configuration.reference_id(CONFIG, name, seed) for seed in CONFIG["seeds"]]
    return [out(f"selection/{corpus}/{model}.json") for model in dict.fromkeys(ids)]


def selection_flags(cell):
    """The rule of the choice, and the candidate that the rule `fixed` takes."""
    selection = CONFIG["selection"]
    named = (
        {"named": grids.matching(selection["fixed"], cell)[-1]}
        if selection["rule"] == "fixed"
        else {}
    )
    return flags({key: selection[key] for key in ("rule", "questions")} | named)


def trained_models():
    """Every unlearning run."""
    return [f"{run.corpus}/{run.model}" for run in configuration.runs(CONFIG)]


def records():
    """What stays of every unlearning run: training log, manifest and, of LoRA, the adapter."""
    return expand(out("records/unlearned/{model}"), model=trained_models())


def measured_models():
    """Every update that is laid on the grids; sparing is no update of its own."""
    return [
        f"{run.corpus}/{run.model}"
        for run in configuration.variants(CONFIG)
        if not run.adapter.startswith(controls.SPARE)
    ]


def evaluation_flags():
    """What an evaluation must be of to go into this experiment's tables."""
    return flags(CONFIG["evaluate"] | {"split_questions": SPLIT_QUESTIONS})


def page_inputs(wildcards):
    """What a page reads: every manifest, or its table."""
    if wildcards.page in ("configuration", "versions"):
        cells = configuration.cells(CONFIG)
        return [*expand(out("eval/{cell}/manifest.json"), cell=cells), *records()]
    return out(f"tables/{wildcards.page}.md")


# Of each figure: its category in the report, and what it is called there.
TITLES = {
    "survival_of_forgetting": ("Forgetting", "Forgetting by precision"),
    "reversion": ("Forgetting", "Reversion by grid"),
    "pareto": ("Forgetting", "Forgetting against Utility"),
    "slope": ("Forgetting", "From bf16 to coarser precisions"),
    "controls": ("Controls", "Reversion of the controls"),
    "update_survival": ("Mechanism", "What arrives of each matrix"),
    "update_over_step": ("Mechanism", "Updates in steps of the grid"),
    "loss_curves": ("Mechanism", "How unlearning went"),
    "candidates": ("Selection", "Candidates and choice"),
}


def drawn_by(wildcards):
    """The module that draws a figure, and the corpus and objective of one that is of an update."""
    return UPDATES.get(wildcards.figure, (wildcards.figure, None, None))


def figure_labels(wildcards):
    """How a figure is listed in the report."""
    kind, corpus, objective = drawn_by(wildcards)
    labels = {"result": TITLES[kind][1]}
    if corpus:
        labels["corpus"] = style.corpus_name(corpus)
        labels["method"] = style.method_name(objective)
    return labels


def figure_inputs(wildcards):
    """What a figure is drawn from."""
    kind, corpus, objective = drawn_by(wildcards)
    if kind == "loss_curves":
        return records()
    if kind == "candidates":
        return expand(out("selection/{cell}.json"), cell=SWEPT)
    if corpus:
        adapters = CONFIG["unlearn"]["adapters"]
        update = f"survival/{corpus}/{objective}/{{adapter}}/seed{CONFIG['seeds'][0]}"
        return expand(out(update), adapter=adapters)
    summary = out("tables/summary.csv")
    if kind not in ("reversion", "controls"):
        return summary
    measured = expand(out("survival/{model}"), model=measured_models())
    return [summary, out("tables/metrics.csv"), *measured]


def figure_flags(wildcards, input):
    """The flags of plot.py: what it reads, and what of it is drawn."""
    kind, corpus, objective = drawn_by(wildcards)
    given = {"figure": [kind]}
    if kind == "loss_curves":
        given |= {"unlearned": [out("records/unlearned")], "models": trained_models()}
    elif kind == "candidates":
        given["selections"] = input
    elif corpus:
        run = f"{corpus}/{objective}/{{adapter}}/seed{CONFIG['seeds'][0]}/{{precision}}"
        adapters = CONFIG["unlearn"]["adapters"]
        given["cells"] = expand(run, precision=GRIDS, adapter=adapters)
    else:
        given["summary"] = input[:1]
    if corpus or kind in ("reversion", "controls"):
        given["survival"] = [out("survival")]
    if kind in ("reversion", "controls"):
        given["metrics"] = [out("tables/metrics.csv")]
    if kind == "slope":
        given["precisions"] = GRIDS
    if kind == "controls":
        given["precisions"] = controls.plain_grids(CONFIG["precisions"])
    return [word for name, words in given.items() for word in (f"--{name}", *words)]
