# From every cell's metrics to the tables and cards that people read.
rule collect_metrics:
    input:
        expand(out("eval/{cell}/metrics.json"), cell=configuration.cells(CONFIG)),
    output:
        report(
            out("tables/metrics.csv"),
            caption="../report/metrics.rst",
            category="Tables",
            labels={"result": "Every metric (CSV)"},
        ),
    log:
        out("logs/tables/metrics.log"),
    benchmark:
        out("benchmarks/tables/metrics.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("collect_metrics.py"),
        experiment=CONFIG["experiment"],
        evaluations=lambda wildcards: out("eval"),
        cells=configuration.cells(CONFIG),
        settings=evaluation_flags(),
    message:
        "Gathering the metrics of all cells, and their reversion"
    shell:
        "run collect_metrics.py --evaluations {params.evaluations:q} "
        "--experiment {params.experiment:q} --cells {params.cells:q} {params.settings} "
        "--output {output:q} > {log:q} 2>&1"


rule main_table:
    input:
        summary=out("tables/summary.csv"),
        tests=out("tables/tests.csv"),
        selections=expand(out("selection/{cell}.json"), cell=SWEPT),
        corpora=expand(out("data/{corpus}"), corpus=CONFIG["corpora"]),
        records=records(),
    output:
        expand(out("tables/main.{form}"), form=["csv", "md", "tex"]),
        report(
            out("tables/main.html"),
            caption="../report/main.rst",
            category="Tables",
            labels={"result": "Main table"},
        ),
    log:
        out("logs/tables/main.log"),
    benchmark:
        out("benchmarks/tables/main.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("make_main_table.py"),
        settings=footnotes(CONFIG),
        selections=lambda wildcards, input: (
            ["--selections", *input.selections] if input.selections else []
        ),
        results=lambda wildcards: out(""),
        cells=configuration.cells(CONFIG),
        folder=subpath(output[0], parent=True),
    message:
        "Writing the main table"
    shell:
        "run make_main_table.py --summary {input.summary:q} --tests {input.tests:q} "
        "--settings {params.settings:q} {params.selections:q} --results {params.results:q} "
        "--cells {params.cells:q} --output {params.folder:q} > {log:q} 2>&1"


rule mechanism_tables:
    input:
        metrics=out("tables/metrics.csv"),
        summary=out("tables/summary.csv"),
        survival=expand(out("survival/{model}"), model=measured_models()),
    output:
        report(
            out("tables/mechanism.csv"),
            caption="../report/mechanism.rst",
            category="Tables",
            labels={"result": "What arrives of the updates (CSV)"},
        ),
        expand(out("tables/{name}.md"), name=["mechanism", "reversion"]),
    log:
        out("logs/tables/mechanism.log"),
    benchmark:
        out("benchmarks/tables/mechanism.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("make_mechanism_tables.py"),
        survival=lambda wildcards: out("survival"),
        folder=subpath(output[0], parent=True),
    message:
        "Writing the tables of reversion and of what arrives"
    shell:
        "run make_mechanism_tables.py --metrics {input.metrics:q} --summary {input.summary:q} "
        "--survival {params.survival:q} --output {params.folder:q} > {log:q} 2>&1"


rule model_cards:
    input:
        metrics=out("tables/metrics.csv"),
        # The folders: a card is also laid into each, which changes nothing that is read of it.
        quantized=expand(out("quantized/{cell}"), cell=configuration.cells(CONFIG)),
    output:
        expand(out("cards/{cell}.md"), cell=configuration.cells(CONFIG)),
    log:
        out("logs/tables/cards.log"),
    benchmark:
        out("benchmarks/tables/cards.tsv")
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_model_cards.py"),
        results=lambda wildcards: out(""),
        cells=configuration.cells(CONFIG),
        folder=lambda wildcards: out("cards"),
    message:
        "Writing a card for every quantized model"
    shell:
        "run write_model_cards.py --metrics {input.metrics:q} --results {params.results:q} "
        "--cells {params.cells:q} --output {params.folder:q} > {log:q} 2>&1"
