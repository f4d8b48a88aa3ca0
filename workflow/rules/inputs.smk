# Which models and records a job reads, and the flags that name them.
def seed_of(wildcards):
    """The seed of a job's model; none of a target or retrain that serves all seeds."""
    last = wildcards.get("model", "").split("/")[-1]
    return wildcards.get("seed") or (last.removeprefix("seed") if last.startswith("seed") else "")


def own_id(name, wildcards):
    """The id of the target or retrain that a model is compared with: its seed's, or everyone's."""
    return configuration.reference_id(CONFIG, name, seed_of(wildcards))


def checkpoint(name, wildcards):
    """The folder of base, target or retrain: made or fetched by the workflow, or the user's own."""
    source = sources.source_of(CONFIG, name, wildcards.corpus)
    if name in sources.fetched(CONFIG, wildcards.corpus):
        return f"<results>/models/{wildcards.corpus}/{name}"
    if source.kind == "made":
        return f"<results>/models/{wildcards.corpus}/{own_id(name, wildcards)}"
    return source.value


def target_of(wildcards):
    """The checkpoint that an unlearned model starts from."""
    return checkpoint("target", wildcards)


def start_of(wildcards):
    """What a training starts from: the base; nothing where that is what is trained."""
    return [] if wildcards.name == "base" else checkpoint("base", wildcards)


def model_of(wildcards):
    """The folder that a model id stands for."""
    name = wildcards.model.split("/")[0]
    if name in ("target", "retrain"):
        return checkpoint(name, wildcards)
    return f"<results>/unlearned/{wildcards.corpus}/{wildcards.model}"


def base_of(wildcards):
    """The target under an adapter; every other model stands by itself."""
    variant = wildcards.get("adapter") or wildcards.model
    return target_of(wildcards) if "lora" in variant else []


def flag_of(name):
    """A params function: the flag that names an input which only some jobs have."""
    return lambda wildcards, input: flags({name: input[name]}) if input[name] else ""


def folder_files(folder, pattern):
    """The files of a user's folder: Snakemake sees when one changes. The folder, if there are none."""
    found = (str(path) for path in Path(folder).glob(pattern) if path.is_file())
    return sorted(found) or [folder]


def fetched_files(wildcards):
    """What of a model and its tokenizer is on disk here."""
    found = []
    for source in filter(None, FETCHED[wildcards.given].values()):
        if source.kind == "gguf":
            found.append(str(sources.gguf_file(source.value)))
        elif source.kind == "folder":
            found += folder_files(source.value, "*.*")
    return found


def revision_of(repository):
    """The commit of a hub repository that the configuration pins."""
    return CONFIG["revisions"].get(repository) or ""


def fetch_flags(wildcards):
    """Where a model and its tokenizer come from, with the commits of the hub's repositories."""
    given = {flag: source for flag, source in FETCHED[wildcards.given].items() if source}
    commits = {
        f"{flag}_revision": revision_of(source.value)
        for flag, source in given.items()
        if source.kind == "hub"
    }
    return flags(given | commits)


def corpus_files(wildcards):
    """The files of a user's own corpus."""
    if CONFIG["corpus"]["source"] != "local":
        return []
    return folder_files(f"{CONFIG['muse_dir']}/{wildcards.corpus}", "*/*.json")


def corpus_flags(wildcards):
    """Where a corpus comes from, and how much of it is kept."""
    name, given = wildcards.corpus, CONFIG["corpus"]
    if MINI:
        return f"{flags({'name': name})} mini {flags(given['mini'])}"
    dataset = given["hub"].get(name)
    source = (
        {"dataset": dataset, "revision": revision_of(dataset)}
        if given["source"] == "hub"
        else {"source": f"{CONFIG['muse_dir']}/{name}"}
    )
    source |= {"scratch": sources.from_scratch(CONFIG, name)}
    return f"{flags(source)} excerpt {flags(given['excerpt'])}"


def questions(part):
    """The corpus with the questions of a part, `selection` or `test`: all, if they are not split."""
    return (
        f"<results>/questions/{{corpus}}/{part}" if SPLIT_QUESTIONS else "<results>/data/{corpus}"
    )


def finetune_flags(wildcards):
    """What base, target or retrain is trained on, and how."""
    splits = {
        "base": "pretrain",
        "target": "forget retain1 retain2",
        "retrain": "retain1 retain2",
    }[wildcards.name]
    given = CONFIG["train"][wildcards.name] | {"seed": wildcards.get("seed", 0)}
    if wildcards.name == "base":
        given |= CONFIG["models"]["architecture"]
    return f"--splits {splits} {flags(given)}"


def unlearn_flags(wildcards):
    """How a variant of the update is trained."""
    variant = wildcards.corpus, wildcards.objective, wildcards.get("adapter", "full")
    return flags(configuration.unlearn_settings(CONFIG, *variant))


def kept(output):
    """An output that stays where `keep_models` says so; else it goes once it was read."""
    return output if KEEP else temp(output)


def quantizing(wildcards):
    """The kind of job that quantizes: methods that calibrate need more."""
    return "gptq" if method_of(wildcards.precision).calibrated else "quantize"


def calibration_flags(wildcards):
    """The corpus, and how these texts are drawn from it."""
    if not method_of(wildcards.precision).calibrated:
        return ""
    # Not from `input`: what is made of it is no part of what Snakemake compares with the last run.
    corpus = {"corpus": f"{RESULTS}/data/{wildcards.corpus}"}
    return flags(corpus | CONFIG["quantization"]["calibration"])


def retrain_scores(wildcards):
    """The reference of PrivLeak; retrain itself, in the reference's precision, is its own."""
    retrain = own_id("retrain", wildcards)
    if (wildcards.model, wildcards.precision) == (retrain, REFERENCE_PRECISION):
        return []
    return f"<results>/eval/{wildcards.corpus}/{retrain}/{REFERENCE_PRECISION}/privleak.jsonl"


def measured_precisions(wildcards):
    """The precisions that a model is evaluated in, whose grids its update is laid on."""
    return controls.precisions(CONFIG, wildcards.model.split("/")[1])


def packed_checkpoints(wildcards):
    """Of target and model, where codes depend on more than the matrix: GPTQ's on its calibration."""
    return [
        f"<results>/quantized/{wildcards.corpus}/{model}/{precision}"
        for precision in measured_precisions(wildcards)
        if method_of(precision).calibrated
        for model in (own_id("target", wildcards), wildcards.model)
    ]


def point_of(wildcards):
    """The point of a grid that a training has the settings of."""
    cell = f"{wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}"
    return next(point for point in POINTS[cell] if point.name == wildcards.point)


def point_flags(wildcards):
    """The flags of unlearn.py that make a point's candidates."""
    point = point_of(wildcards)
    return f"{flags(point.settings)} --snapshots {' '.join(f'{e:g}' for e in point.snapshots)}"


def candidates(wildcards, input):
    """The candidates of a training of a grid: what it kept after some of its epochs."""
    epochs = point_of(wildcards).snapshots
    return [f"{input.models}/{grids.snapshot_name(each)}" for each in epochs]


def of_candidates(pattern):
    """An input function: a file or folder of each training of a cell, seed after seed."""
    return lambda wildcards: [
        pattern.format(cell=wildcards.cell, seed=seed, point=point.name)
        for seed in CONFIG["seeds"]
        for point in POINTS[wildcards.cell]
    ]


def reference_answers(name):
    """An input function: what target or retrain answered to the candidates' questions, by seed."""
    ids = dict.fromkeys(configuration.reference_id(CONFIG, name, seed) for seed in CONFIG["seeds"])
    return lambda wildcards: [
        f"<results>/selection/{wildcards.cell.split('/')[0]}/{model}.json" for model in ids
    ]


def selection_flags(wildcards):
    """The rule of the choice, and the candidate that the rule `fixed` takes."""
    selection = CONFIG["selection"]
    given = {key: selection[key] for key in ("rule", "questions")}
    if selection["rule"] == "fixed":
        given["named"] = grids.matching(selection["fixed"], wildcards.cell)[-1]
    return flags(given)


def listed(path, category, result):
    """A table that the report shows; its caption is named like it."""
    caption = f"../report/{Path(path).stem}.rst"
    return report(path, caption=caption, category=category, labels={"result": result})


def page_inputs(wildcards):
    """What a page reads: every manifest, or its table."""
    if TITLES[wildcards.page][0] != "Provenance":
        return f"<results>/tables/{wildcards.page}.md"
    return expand("<results>/eval/{cell}/manifest.json", cell=CELLS) + RECORDS


def page_flags(wildcards, output):
    """What write_page.py writes, and what of the configuration it shows."""
    place = {"page": Path(output[0]).stem, "results": RESULTS, "output": output}
    return flags(place | {"settings": json.dumps(TOLD), "cells": CELLS})


wildcard_constraints:
    corpus="|".join(CONFIG["corpora"]),
    objective="|".join(CONFIG["unlearn"]["objectives"]),
    adapter="|".join(CONFIG["unlearn"]["adapters"]),
    seed=r"\d+",
    model=rf"{REFERENCE_MODEL}|[a-z_]+/[a-z0-9_.]+/seed\d+",
    cell="|".join(SWEPT),
    precision=r"[a-z0-9]+",
    point=r"[A-Za-z0-9.-]+",
    choice="|".join(controls.CHOICES),
    given="|".join(FETCHED),
    name="base|target|retrain",
    size=r"scaled[0-9.]+|matched",
    figure="|".join(FIGURES),
    page="|".join(TITLES),
