# The models that unlearning is measured against, and the unlearned ones.
if FETCHED:

    if "model" in sources.repositories(CONFIG).values():

        # A cluster's nodes often cannot reach the hub.
        localrules:
            fetch_model,

    use rule job as fetch_model with:
        input:
            fetched_files,
        output:
            output=directory("<results>/models/{given}"),
        log:
            "<logs>/models/{given}.log",
        benchmark:
            "<benchmarks>/models/{given}.tsv"
        params:
            **step("fetch_model", fetch_flags),
        message:
            "Fetching {wildcards.given}"

    ruleorder: fetch_model > finetune


# Base, target and retrain: the same training, from scratch or from the base.
use rule job as finetune with:
    input:
        base=lambda wildcards: [] if wildcards.name == "base" else checkpoint("base", wildcards),
        corpus=DATA,
    output:
        output=directory(f"<results>/models/{{corpus}}/{REFERENCE}"),
    log:
        f"<logs>/models/{{corpus}}/{REFERENCE}.log",
    benchmark:
        f"<benchmarks>/models/{{corpus}}/{REFERENCE}.tsv"
    params:
        **step("finetune", finetune_flags),
    message:
        "Training {wildcards.name} for {wildcards.corpus}"


# One objective, one variant of the update, one seed.
use rule job as unlearn with:
    input:
        target=target_of,
        corpus=DATA,
    output:
        record=directory("<results>/records/unlearned/{corpus}/{objective}/{adapter}/seed{seed}"),
        output=kept("<results>/unlearned/{corpus}/{objective}/{adapter}/seed{seed}"),
    log:
        "<logs>/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.log",
    benchmark:
        "<benchmarks>/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.tsv"
    priority: TRAININGS
    params:
        **step("unlearn", unlearn_flags, terms),
    message:
        "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}"
