# One objective, one variant of the update, one seed.
rule unlearn:
    input:
        target=checkpoint_of("target"),
        corpus=out("data/{corpus}"),
    output:
        kept(
            directory(out("unlearned/{corpus}/{objective}/{adapter}/seed{seed}")),
            until="adapters",
        ),
    log:
        out("logs/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.log"),
    benchmark:
        out("benchmarks/unlearned/{corpus}/{objective}/{adapter}/seed{seed}.tsv")
    priority: TRAININGS
    conda:
        "../../envs/train.yaml"
    threads: cores("unlearn")
    resources:
        **needs("unlearn"),
    params:
        code=code("unlearn.py"),
        settings=lambda wildcards: flags(
            configuration.unlearn_settings(
                CONFIG, wildcards.corpus, wildcards.objective, wildcards.adapter
            )
        ),
    message:
        "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}"
    shell:
        "run unlearn.py --target {input.target:q} --corpus {input.corpus:q} "
        "--objective {wildcards.objective} --adapter {wildcards.adapter} --seed {wildcards.seed} "
        '{params.settings} --checkpoints "$CHECKPOINTS" --output {output:q} > {log:q} 2>&1'


if KEEP == "adapters":

    use rule unlearn as unlearn_whole with:
        output:
            temp(directory(out("unlearned/{corpus}/{objective}/{adapter}/seed{seed}"))),
        wildcard_constraints:
            adapter=WHOLE,

    ruleorder: unlearn_whole > unlearn


if KEEP != "all":

    localrules:
        keep_log,
        keep_manifest,

    # What figures and the report read of a model that does not stay.
    rule keep_log:
        input:
            out("unlearned/{model}"),
        output:
            out("records/unlearned/{model}/train_log.jsonl"),
            out("records/unlearned/{model}/manifest.json"),
        log:
            out("logs/records/unlearned/{model}.log"),
        benchmark:
            out("benchmarks/records/unlearned/{model}.tsv")
        wildcard_constraints:
            model=r"[^/]+/[a-z_]+/[a-z0-9_.]+/seed\d+",
        priority: READERS
        conda:
            "../../envs/tables.yaml"
        threads: 1
        resources:
            **needs("tables"),
        params:
            folder=subpath(output[0], parent=True),
        message:
            "Keeping the training log of {wildcards.model}"
        shell:
            "cp {input:q}/train_log.jsonl {input:q}/manifest.json {params.folder:q} > {log:q} 2>&1"

    rule keep_manifest:
        input:
            out("models/{model}"),
        output:
            out("records/models/{model}/manifest.json"),
        log:
            out("logs/records/models/{model}.log"),
        benchmark:
            out("benchmarks/records/models/{model}.tsv")
        wildcard_constraints:
            model=r"[^/]+/(?:base|target|retrain)(?:/seed\d+)?",
        priority: READERS
        conda:
            "../../envs/tables.yaml"
        threads: 1
        resources:
            **needs("tables"),
        message:
            "Keeping the manifest of {wildcards.model}"
        shell:
            "cp {input:q}/manifest.json {output:q} > {log:q} 2>&1"
