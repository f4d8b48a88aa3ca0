# The corpora, in MUSE's layout, and the questions that are kept for the choice of settings.
if CONFIG["corpus"]["source"] == "hub":

    # On the machine that Snakemake runs on: a cluster's nodes often have no way to the internet.
    localrules:
        corpus,


# What this rule says once holds for all others: they are `corpus` with files, settings and words of
# their own, and STEPS in common.smk has their scripts, environments and resources.
rule corpus:
    input:
        corpus_files,
    output:
        output=directory("<results>/data/{corpus}"),
    log:
        "<logs>/data/{corpus}.log",
    benchmark:
        "<benchmarks>/data/{corpus}.tsv"
    conda:
        lambda wildcards, params: f"../../envs/{params.environment}.yaml"
    threads: need("threads")
    resources:
        mem_mb=need("mem_mb", lambda attempt: 1.5 ** (attempt - 1)),
        runtime=need("runtime", lambda attempt: attempt),
        gpu=need("gpu"),
    params:
        **step("corpus", corpus_flags, corpus_source),
    message:
        "Writing the corpus {wildcards.corpus}"
    shell:
        COMMAND


if SPLIT_QUESTIONS:

    use rule corpus as split_questions with:
        input:
            corpus=DATA,
        output:
            selection=directory("<results>/questions/{corpus}/selection"),
            test=directory("<results>/questions/{corpus}/test"),
        log:
            "<logs>/questions/{corpus}.log",
        benchmark:
            "<benchmarks>/questions/{corpus}.tsv"
        params:
            **step(
                "split_questions",
                flags({key: CONFIG["selection"][key] for key in ("share", "seed")}),
            ),
        message:
            "Splitting the questions of {wildcards.corpus}: for the choice, and for the tables"
