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
        script="analyse",
        flags=flags(EVALUATED | {"experiment": CONFIG["experiment"], "output": f"{RESULTS}/tables"}),
    message:
        "Summarizing all metrics over seeds and items, and testing their differences"
    shell:
        "run {params.script}.py {params.flags} > {log:q} 2>&1"


use rule analyse as claims with:
    input:
        summary="<results>/tables/summary.csv",
        tests="<results>/tables/tests.csv",
    output:
        multiext("<results>/tables/claims", ".csv", "_published.csv", ".md"),
    log:
        "<logs>/tables/claims.log",
    benchmark:
        "<benchmarks>/tables/claims.tsv"
    params:
        code=code("judge_claims.py") + resource("claims.yaml") + resource("published"),
        script="judge_claims",
        flags=flags(
            EVALUATED
            | {"summary": f"{RESULTS}/tables/summary.csv", "tests": f"{RESULTS}/tables/tests.csv"}
            | {"notes": learning_rates(CONFIG), "output": f"{RESULTS}/tables"}
        ),
    message:
        "Judging the paper's claims"


# The main table, the mechanism's, all candidates, and the numbers beside the published ones.
use rule analyse as write_tables with:
    input:
        expand("<results>/tables/{name}.csv", name=["metrics", "summary", "tests"]),
        SURVIVAL,
        RECORDS,
        SELECTIONS,
        expand("<results>/data/{corpus}", corpus=CONFIG["corpora"]),
    output:
        listed("<results>/tables/main.html", "Tables", "Main table"),
        listed("<results>/tables/mechanism.csv", "Tables", "What arrives of the updates (CSV)"),
        multiext("<results>/tables/main", ".csv", ".md", ".tex"),
        multiext("<results>/tables/", "mechanism.md", "reversion.md", "vs_paper.csv"),
        [
            listed("<results>/tables/candidates.csv", "Selection", "Every candidate (CSV)"),
            "<results>/tables/candidates.md",
        ]
        if SWEPT
        else [],
    log:
        "<logs>/tables/tables.log",
    benchmark:
        "<benchmarks>/tables/tables.tsv"
    params:
        code=code("write_tables.py") + resource("published"),
        script="write_tables",
        flags=flags(
            {"results": RESULTS, "cells": CELLS, "swept": SWEPT, "notes": footnotes(CONFIG)}
            | {"counterpart": CONFIG["counterpart"]}
        ),
    message:
        "Writing the tables"


use rule analyse as model_cards with:
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
    params:
        code=code("write_model_cards.py"),
        script="write_model_cards",
        flags=flags(
            {"metrics": f"{RESULTS}/tables/metrics.csv", "output": f"{RESULTS}/cards"}
            | {"results": RESULTS, "cells": CELLS}
        ),
    message:
        "Writing a card for every quantized model"
