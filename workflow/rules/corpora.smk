# The corpora, in MUSE's layout, and the questions reserved for choosing settings.
if CONFIG["corpus"]["source"] == "hub":

    # On the machine that Snakemake runs on: a cluster's nodes often cannot reach the internet.
    localrules:
        corpus,


use rule job as corpus with:
    input:
        corpus_files,
    output:
        output=directory("<results>/data/{corpus}"),
    log:
        "<logs>/data/{corpus}.log",
    benchmark:
        "<benchmarks>/data/{corpus}.tsv"
    params:
        **step("corpus", corpus_flags, corpus_source),
    message:
        "Writing the corpus {wildcards.corpus}"


if SWEPT:

    use rule job as split_questions with:
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
            **step("split_questions", flags({"share": CONFIG["selection"]["share"]})),
        message:
            "Splitting the questions of {wildcards.corpus}: some for the choice, the rest for the tables"
