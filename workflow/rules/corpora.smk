# The corpora, in MUSE's layout, and the questions that are kept for the choice of settings.
if CONFIG["corpus"]["source"] == "hub":

    # On the machine that Snakemake runs on: a cluster's nodes often have no way to the internet.
    localrules:
        corpus,


rule corpus:
    input:
        corpus_files,
    output:
        directory("<results>/data/{corpus}"),
    log:
        "<logs>/data/{corpus}.log",
    benchmark:
        "<benchmarks>/data/{corpus}.tsv"
    conda:
        "../../envs/data.yaml"
    threads: cores("data")
    resources:
        **needs("data"),
    params:
        code=code("make_corpus.py", by_name=f"corpora/{'mini' if MINI else 'muse'}"),
        source=corpus_flags,
    message:
        "Writing the corpus {wildcards.corpus}"
    shell:
        "fetch make_corpus.py --output {output:q} {params.source} > {log:q} 2>&1"


if SPLIT_QUESTIONS:

    rule split_questions:
        input:
            "<results>/data/{corpus}",
        output:
            directory("<results>/questions/{corpus}/selection"),
            directory("<results>/questions/{corpus}/test"),
        log:
            "<logs>/questions/{corpus}.log",
        benchmark:
            "<benchmarks>/questions/{corpus}.tsv"
        conda:
            "../../envs/data.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("split_questions.py"),
            share=CONFIG["selection"]["share"],
            seed=CONFIG["selection"]["seed"],
        message:
            "Splitting the questions of {wildcards.corpus}: for the choice, and for the tables"
        shell:
            "run split_questions.py --corpus {input:q} --share {params.share:q} "
            '--seed {params.seed:q} --output "$RESULTS/questions/{wildcards.corpus}" > {log:q} 2>&1'
