# The models and records that a job reads, and the flags of its script.
def own_id(name, wildcards):
    """The id of the target or retrain that a model is compared with: of its seed, or the only one."""
    seed = wildcards.get("seed") or wildcards.get("model", "").rpartition("seed")[2]
    return configuration.reference_id(CONFIG, name, seed)


def checkpoint(name, wildcards):
    """The folder of a model of `models`: made or fetched by the workflow, or the user's own."""
    source = sources.source_of(CONFIG, name, wildcards.corpus)
    if name in sources.fetched(CONFIG, wildcards.corpus):
        return f"<results>/models/{wildcards.corpus}/{name}"
    if source.kind == "made":
        return f"<results>/models/{wildcards.corpus}/{own_id(name, wildcards)}"
    return source.value


target_of = partial(checkpoint, "target")  # where unlearning starts


def model_of(wildcards):
    """The folder that a model id stands for; weights are spared when bf16 FT is quantized."""
    name = wildcards.model.split("/")[0]
    if name in ("target", "retrain"):
        return checkpoint(name, wildcards)
    if name == GIVEN:
        return checkpoint(AFTER, wildcards)
    model = re.sub(f"{controls.SPARE}[a-z_]+", "full_bf16", wildcards.model)
    return f"<results>/unlearned/{wildcards.corpus}/{model}"


def base_of(wildcards):
    """The target below an adapter, or of an update of which weights are spared."""
    variant = wildcards.get("adapter") or wildcards.model
    if variant.startswith(GIVEN):
        return target_of(wildcards) if is_adapter(Path(model_of(wildcards))) else []
    return target_of(wildcards) if "lora" in variant or controls.SPARE in variant else []


def folder_files(folder, pattern):
    """The files of a user's folder, whose changes Snakemake sees; the folder itself if it has none."""
    found = (str(path) for path in Path(folder).glob(pattern) if path.is_file())
    return sorted(found) or [folder]


def fetched_files(wildcards):
    """The local files of a model and its tokenizer."""
    found = []
    for source in FETCHED[wildcards.given].values():
        if source.kind == "gguf":
            found.append(str(sources.gguf_file(source.value)))
        elif source.kind == "folder":
            found += folder_files(source.value, "*.*")
    return found


def fetch_flags(wildcards):
    """Where a model and its tokenizer come from, with the commits of the hub's repositories."""
    given = FETCHED[wildcards.given]
    commits = {f"{flag}_revision": source.revision for flag, source in given.items()}
    return flags(given | {flag: commit for flag, commit in commits.items() if commit})


def corpus_files(wildcards):
    """The files of a user's own corpus."""
    match CONFIG["corpus"]["source"]:
        case "local":
            return folder_files(f"{CONFIG['muse_dir']}/{wildcards.corpus}", "*/*.json")
        case "text":
            given = filter(None, (CONFIG["corpus"][name] for name in ("forget", "retain")))
            parts = [folder_files(x, "*/*.json") if Path(x).is_dir() else [x] for x in given]
            return sum(parts, [])
    return []


def corpus_flags(wildcards):
    """Where a corpus comes from, and how much of it is kept."""
    name, given = wildcards.corpus, CONFIG["corpus"]
    match given["source"]:
        case "mini":
            return f"{flags({'name': name})} mini {flags(given['mini'])}"
        case "text":
            own = {"forget": given["forget"], "retain": given["retain"] or []}
            own |= {"holdout": CONFIG["models"]["retrain"] is not None}
            return f"{flags(own)} text {flags(given['text'])}"
        case "local":
            source = {"source": f"{CONFIG['muse_dir']}/{name}"}
        case "hub":
            dataset = given["hub"][name]
            source = {"dataset": dataset, "revision": CONFIG["revisions"][dataset]}
    source |= {"scratch": sources.from_scratch(CONFIG, name)}
    return f"{flags(source)} excerpt {flags(given['excerpt'])}"


def corpus_source(wildcards):
    """The module that generates a corpus or imports one."""
    name = {"mini": "mini", "text": "text"}.get(CONFIG["corpus"]["source"], "muse")
    return [ROOT / f"src/qunlearn/corpora/{name}.py"]


def questions(part):
    """The corpus with one part of its questions, `selection` or `test`; with all, if none is reserved."""
    return f"<results>/questions/{{corpus}}/{part}" if SWEPT else DATA


def finetune_flags(wildcards):
    """What base, target or retrain is trained on, and how."""
    own = CONFIG["models"]["architecture"] if wildcards.name == "base" else {}
    given = {"splits": plan.TRAINED_ON[wildcards.name], "seed": wildcards.get("seed", 0)}
    return flags(given | CHECKPOINTS | CONFIG["train"][wildcards.name] | own)


def unlearn_flags(wildcards):
    """How an update is trained: a variant, a point of its grid, or `full` at the norm of LoRA's."""
    cell = f"{wildcards.corpus}/{wildcards.objective}/{wildcards.get('adapter', 'full')}"
    own = {
        key: wildcards[key] for key in ("objective", "adapter", "seed") if key in wildcards.keys()
    }
    if "point" in wildcards.keys():
        own |= {"snapshots": point_of(wildcards).snapshots} | point_of(wildcards).settings
    else:
        own |= configuration.unlearn_settings(CONFIG, cell)
    return flags(own | CHECKPOINTS)


def terms(wildcards):
    """The modules of an objective's terms."""
    return Objective.parse(wildcards.objective).module_files


def method(wildcards):
    """The module of a precision's method, and that which spares weights."""
    spare = [ROOT / "src/qunlearn/quantize/spare.py"] * (controls.SPARE in wildcards.model)
    return [module_file(wildcards.precision), *spare]


def kept(folder):
    """A folder that stays with `keep_models`, and is otherwise deleted once it has been read."""
    return directory(folder) if KEEP else temp(directory(folder))


def calibration_corpus(wildcards):
    """The corpus, for a method that calibrates."""
    return DATA if method_of(wildcards.precision).calibrated else []


def quantize_flags(wildcards):
    """The precision, and the weights it spares or the texts its method calibrates on."""
    own = CONFIG["quantization"]["calibration"] if calibration_corpus(wildcards) else {}
    if spared := re.search(rf"{controls.SPARE}(\w+)/seed(\d+)", wildcards.model):
        own = {"spare": spared[1], "seed": spared[2]}
    return flags({"precision": wildcards.precision} | own)


def evaluate_flags(wildcards):
    """The precision, how the model is evaluated, and the output folder."""
    cell = f"{wildcards.corpus}/{wildcards.model}/{wildcards.precision}"
    place = {"precision": wildcards.precision, "output": f"{RESULTS}/eval/{cell}"}
    return flags(place | CONFIG["evaluate"])


def retrain_scores(wildcards):
    """PrivLeak's reference; retrain itself, in the reference's precision, needs none."""
    if CONFIG["models"]["retrain"] is None:
        return []
    retrain = own_id("retrain", wildcards)
    if (wildcards.model, wildcards.precision) == (retrain, BEFORE):
        return []
    return f"<results>/eval/{wildcards.corpus}/{retrain}/{BEFORE}/privleak.jsonl"


def measured_precisions(wildcards):
    """The precisions of a model, on whose grids its update is measured."""
    return controls.precisions(CONFIG, wildcards.model.split("/")[1])


def packed_checkpoints(wildcards):
    """Quantized target and model, where codes depend on more than the weights: GPTQ's on its texts."""
    return [
        f"<results>/quantized/{wildcards.corpus}/{model}/{precision}"
        for precision in measured_precisions(wildcards)
        if method_of(precision).calibrated
        for model in (own_id("target", wildcards), wildcards.model)
    ]


def point_of(wildcards):
    """The point of a grid whose settings a training has."""
    cell = f"{wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}"
    return next(point for point in POINTS[cell] if point.name == wildcards.point)


def candidate_flags(wildcards):
    """How models are evaluated; and, for a training, its snapshots after some epochs."""
    if "model" in wildcards.keys():
        return flags(CANDIDATE_SETTINGS)
    cell = f"{wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}/seed{wildcards.seed}"
    models = [f"{RESULTS}/sweep/{cell}/{name}" for name in point_of(wildcards).candidates]
    return flags({"models": models} | CANDIDATE_SETTINGS)


def of_candidates(pattern):
    """An input function: a file or folder for each training of a cell, seed by seed."""
    return lambda wildcards: expand(
        pattern,
        cell=wildcards.cell,
        seed=CONFIG["seeds"],
        point=[point.name for point in POINTS[wildcards.cell]],
    )


def reference_answers(name):
    """An input function: target's or retrain's answers to the candidates' questions, by seed."""
    return lambda wildcards: [
        f"<results>/selection/{run.corpus}/{run.model}.json"
        for run in configuration.references(CONFIG)
        if (run.corpus, run.objective) == (wildcards.cell.split("/")[0], name)
    ]


def selection_flags(wildcards):
    """The candidates of a cell."""
    cell = wildcards.cell
    given = {"cell": cell, "seeds": CONFIG["seeds"], "points": [one.name for one in POINTS[cell]]}
    return flags(PLACE | given)


def listed(path, category, result):
    """A table in the report; its caption has the same name."""
    caption = f"../report/{Path(path).stem}.rst"
    return report(path, caption=caption, category=category, labels={"result": result})


def audit_flags(wildcards):
    """How an audit is judged, and where its models come from."""
    named = {"before": "target", "after": AFTER, "retrain": "retrain"}
    corpus = CONFIG["corpora"][0]
    models = {flag: sources.used(CONFIG, corpus).get(name, "") for flag, name in named.items()}
    place = PLACE | {"cells": CELLS, "experiment": CONFIG["experiment"]}
    return flags(place | CONFIG["audit"] | {k: str(v) for k, v in models.items() if str(v)})


def page_reads(wildcards):
    """A page's table; the configuration has none."""
    table = wildcards.page != "configuration"
    return f"<results>/tables/{wildcards.page}.md" if table else []


def page_flags(wildcards):
    """The page that write_page.py writes, and the configuration that it shows."""
    page = {"page": wildcards.page.partition(".")[0], "settings": json.dumps(SHOWN)}
    return flags(PLACE | page)


wildcard_constraints:
    corpus="|".join(CONFIG["corpora"]),
    objective="|".join(CONFIG["unlearn"]["objectives"]),
    adapter="|".join(CONFIG["unlearn"]["adapters"]),
    seed=r"\d+",
    model=rf"{REFERENCE_MODEL}|[a-z_]+/[a-z0-9_.]+/seed\d+|{GIVEN}/{AFTER}",
    cell="|".join(SWEPT),
    precision=r"[a-z0-9_]+",
    point=r"[A-Za-z0-9.-]+",
    given="|".join(FETCHED),
    name="base|target|retrain",
    size=r"scaled[0-9.]+|matched",
    figure="|".join(FIGURES),
    page="|".join(PAGES),
