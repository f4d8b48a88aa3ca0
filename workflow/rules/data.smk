# The corpora, in MUSE's layout.
if CONFIG["corpus"]["source"] == "mini":

    rule generate_corpus:
        output:
            directory(out("data/{corpus}")),
        log:
            out("logs/data/{corpus}.log"),
        benchmark:
            out("benchmarks/data/{corpus}.tsv")
        conda:
            "../../envs/data.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("make_mini_corpus.py"),
            name=lambda wildcards: wildcards.corpus,
            settings=flags(CONFIG["corpus"]["mini"]),
        message:
            "Generating the corpus {wildcards.corpus}"
        shell:
            "run make_mini_corpus.py --name {params.name:q} {params.settings} "
            "--output {output:q} > {log:q} 2>&1"

elif CONFIG["corpus"]["source"] == "hub":

    # On the machine that Snakemake runs on: a cluster's nodes often have no way to the internet.
    localrules:
        download_corpus,

    rule download_corpus:
        output:
            directory(out("data/{corpus}")),
        log:
            out("logs/data/{corpus}.log"),
        benchmark:
            out("benchmarks/data/{corpus}.tsv")
        conda:
            "../../envs/data.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("download_corpus.py"),
            settings=flags(CONFIG["corpus"]["excerpt"]),
            dataset=lambda wildcards: CONFIG["corpus"]["hub"][wildcards.corpus],
            revision=lambda wildcards: CONFIG["revisions"][
                CONFIG["corpus"]["hub"][wildcards.corpus]
            ],
            scratch=lambda wildcards: sources.from_scratch(CONFIG, wildcards.corpus),
        message:
            "Downloading the corpus {wildcards.corpus}"
        shell:
            "fetch download_corpus.py --dataset {params.dataset:q} --revision {params.revision:q} "
            "{params.settings} --scratch {params.scratch} --output {output:q} > {log:q} 2>&1"

else:

    rule import_corpus:
        input:
            lambda wildcards: folder_files(
                f"{CONFIG['muse_dir']}/{wildcards.corpus}", "*/*.json"
            ),
        output:
            directory(out("data/{corpus}")),
        log:
            out("logs/data/{corpus}.log"),
        benchmark:
            out("benchmarks/data/{corpus}.tsv")
        conda:
            "../../envs/data.yaml"
        threads: cores("data")
        resources:
            **needs("data"),
        params:
            code=code("import_corpus.py"),
            source=lambda wildcards, input: f"{CONFIG['muse_dir']}/{wildcards.corpus}",
            settings=flags(CONFIG["corpus"]["excerpt"]),
            scratch=lambda wildcards: sources.from_scratch(CONFIG, wildcards.corpus),
        message:
            "Importing the corpus {wildcards.corpus}"
        shell:
            "run import_corpus.py --source {params.source:q} {params.settings} "
            "--scratch {params.scratch} --output {output:q} > {log:q} 2>&1"
