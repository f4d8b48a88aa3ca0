# The models that unlearning is measured against, and the unlearned ones.
if FETCHED:

    if "model" in sources.repositories(CONFIG).values():

        # Nodes of a cluster often have no way to the hub.
        localrules:
            fetch_model,

    rule fetch_model:
        input:
            fetched_files,
        output:
            directory("<results>/models/{given}"),
        log:
            "<logs>/models/{given}.log",
        benchmark:
            "<benchmarks>/models/{given}.tsv"
        conda:
            "../../envs/train.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("fetch_model.py"),
            source=fetch_flags,
        message:
            "Fetching {wildcards.given}"
        shell:
            "fetch fetch_model.py {params.source} --output {output:q} > {log:q} 2>&1"

    ruleorder: fetch_model > finetune


# Base, target and retrain: the same training, of a new model or of the base.
rule finetune:
    input:
        base=start_of,
        corpus="<results>/data/{corpus}",
    output:
        directory(f"<results>/models/{{corpus}}/{REFERENCE}"),
    log:
        f"<logs>/models/{{corpus}}/{REFERENCE}.log",
    benchmark:
        f"<benchmarks>/models/{{corpus}}/{REFERENCE}.tsv"
    conda:
        "../../envs/train.yaml"
    threads: cores("train")
    resources:
        **needs("train"),
    params:
        code=code("finetune.py"),
        base=flag_of("base"),
        training=finetune_flags,
    message:
        "Training {wildcards.name} of {wildcards.corpus}"
    shell:
        "run finetune.py {params.base} --corpus {input.corpus:q} {params.training} "
        '--checkpoints "$RESULTS/checkpoints" --output {output:q} > {log:q} 2>&1'


# One objective, one variant of the update, one seed.
rule unlearn:
    input:
        target=target_of,
        corpus="<results>/data/{corpus}",
    output:
        model=kept(directory("<results>/unlearned/{corpus}/{objective}/{adapter}/seed{seed}")),
        record=directory("<results>/records/unlearned/{corpus}/{objective}/{adapter}/seed{seed}"),
    log:
        "<logs>/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.log",
    benchmark:
        "<benchmarks>/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.tsv"
    priority: TRAININGS
    conda:
        "../../envs/train.yaml"
    threads: cores("unlearn")
    resources:
        **needs("unlearn"),
    params:
        code=lambda wildcards: code("unlearn.py", objective=wildcards.objective),
        settings=unlearn_flags,
    message:
        "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}"
    shell:
        "run unlearn.py --target {input.target:q} --corpus {input.corpus:q} "
        "--objective {wildcards.objective} --adapter {wildcards.adapter} --seed {wildcards.seed} "
        '{params.settings} --checkpoints "$RESULTS/checkpoints" --output {output.model:q} '
        "> {log:q} 2>&1; record {output:q}"
