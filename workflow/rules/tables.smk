# From every cell's metrics to the tables and cards that people read.
rule analyse:
    input:
        expand("<results>/eval/{cell}/metrics.json", cell=CELLS),
    output:
        listed("<results>/tables/metrics.csv", "Tables", "Every metric (CSV)"),
        listed("<results>/tables/summary.csv", "Tables", "Every metric over seeds and items (CSV)"),
        listed("<results>/tables/tests.csv", "Claims", "Paired tests (CSV)"),
    log:
        "<logs>/tables/analyse.log",
    benchmark:
        "<benchmarks>/tables/analyse.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("analyse.py"),
        experiment=CONFIG["experiment"],
        cells=CELLS,
        settings=flags(EVALUATION),
        folder=subpath(output[0], parent=True),
    message:
        "Summarizing all metrics over seeds and items, and testing their differences"
    shell:
        'run analyse.py --evaluations "$RESULTS/eval" --experiment {params.experiment:q} '
        "--cells {params.cells:q} {params.settings} --output {params.folder:q} > {log:q} 2>&1"


rule claims:
    input:
        summary="<results>/tables/summary.csv",
        tests="<results>/tables/tests.csv",
    output:
        multiext("<results>/tables/claims", ".csv", "_published.csv", ".md"),
    log:
        "<logs>/tables/claims.log",
    benchmark:
        "<benchmarks>/tables/claims.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("judge_claims.py"),
        claims=resource("claims.yaml"),
        published=resource("published"),
        cells=CELLS,
        settings=flags(EVALUATION),
        notes=learning_rates(CONFIG),
        folder=subpath(output[0], parent=True),
    message:
        "Judging the paper's claims"
    shell:
        'run judge_claims.py --claims "$RESOURCES/claims.yaml" --published "$RESOURCES/published" '
        '--summary {input.summary:q} --tests {input.tests:q} --evaluations "$RESULTS/eval" '
        "--cells {params.cells:q} {params.settings} --notes {params.notes:q} "
        "--output {params.folder:q} > {log:q} 2>&1"


# The main table, the mechanism's, all candidates, and the numbers beside the published ones.
rule write_tables:
    input:
        metrics="<results>/tables/metrics.csv",
        summary="<results>/tables/summary.csv",
        tests="<results>/tables/tests.csv",
        survival=SURVIVAL,
        selections=SELECTIONS,
        corpora=expand("<results>/data/{corpus}", corpus=CONFIG["corpora"]),
        records=RECORDS,
    output:
        listed("<results>/tables/main.html", "Tables", "Main table"),
        listed("<results>/tables/mechanism.csv", "Tables", "What arrives of the updates (CSV)"),
        listed("<results>/tables/candidates.csv", "Selection", "Every candidate (CSV)")
        if SWEPT
        else [],
        multiext("<results>/tables/main", ".csv", ".md", ".tex"),
        multiext("<results>/tables/", "mechanism.md", "reversion.md", "vs_paper.csv"),
        "<results>/tables/candidates.md" if SWEPT else [],
    log:
        "<logs>/tables/tables.log",
    benchmark:
        "<benchmarks>/tables/tables.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_tables.py"),
        published=resource("published"),
        counterpart=CONFIG["counterpart"],
        notes=footnotes(CONFIG),
        cells=CELLS,
    message:
        "Writing the tables"
    shell:
        'run write_tables.py --results "$RESULTS" --cells {params.cells:q} '
        "--selections {input.selections:q} --notes {params.notes:q} "
        '--published "$RESOURCES/published" --counterpart {params.counterpart:q} > {log:q} 2>&1'


rule model_cards:
    input:
        metrics="<results>/tables/metrics.csv",
        # The folders: a card is also laid into each, which changes nothing that is read of it.
        quantized=expand("<results>/quantized/{cell}", cell=CELLS),
    output:
        expand("<results>/cards/{cell}.md", cell=CELLS),
    log:
        "<logs>/tables/cards.log",
    benchmark:
        "<benchmarks>/tables/cards.tsv"
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=code("write_model_cards.py"),
        cells=CELLS,
    message:
        "Writing a card for every quantized model"
    shell:
        'run write_model_cards.py --metrics {input.metrics:q} --results "$RESULTS" '
        '--cells {params.cells:q} --output "$RESULTS/cards" > {log:q} 2>&1'
