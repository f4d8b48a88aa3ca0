# The corpora, in MUSE's layout.
if CONFIG["corpus"]["source"] == "mini":

    rule generate_corpus:
        output:
            directory(DATA),
        params:
            script=script("make_mini_corpus.py"),
            code=code("make_mini_corpus.py"),
            settings=flags(CONFIG["corpus"]["mini"]),
        log:
            LOGS + "/data/{corpus}.log",
        benchmark:
            BENCHMARKS + "/data/{corpus}.tsv"
        conda:
            "../../envs/data.yaml"
        threads: asks("data", "threads")
        resources:
            mem_mb=asks("data", "mem_mb"),
            runtime=asks("data", "runtime"),
        message:
            "Generating the corpus {wildcards.corpus}"
        shell:
            "{PYTHON} {params.script} --name {wildcards.corpus} {params.settings} "
            "--output {output} > {log} 2>&1"

else:

    rule import_corpus:
        input:
            CONFIG["muse_dir"] + "/{corpus}",
        output:
            directory(DATA),
        params:
            script=script("import_corpus.py"),
            code=code("import_corpus.py"),
            settings=flags(CONFIG["corpus"]["excerpt"]),
        log:
            LOGS + "/data/{corpus}.log",
        benchmark:
            BENCHMARKS + "/data/{corpus}.tsv"
        conda:
            "../../envs/data.yaml"
        threads: asks("data", "threads")
        resources:
            mem_mb=asks("data", "mem_mb"),
            runtime=asks("data", "runtime"),
        message:
            "Importing the corpus {wildcards.corpus}"
        shell:
            "{PYTHON} {params.script} --source {input:q} {params.settings} "
            "--output {output} > {log} 2>&1"
