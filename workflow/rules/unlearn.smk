# One objective, one variant of the update, one seed.
rule unlearn:
    input:
        target=checkpoint_of("target"),
        corpus=out("data/{corpus}"),
    output:
        model=kept(
            directory(out("unlearned/{corpus}/{objective}/{adapter}/seed{seed}"))
        ),
        record=directory(
            out("records/unlearned/{corpus}/{objective}/{adapter}/seed{seed}")
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
        code=lambda wildcards: code("unlearn.py", objective=wildcards.objective),
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
        '{params.settings} --checkpoints "$CHECKPOINTS" --output {output.model:q} '
        "> {log:q} 2>&1; record {output:q}"
