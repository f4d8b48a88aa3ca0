# From every cell's metrics to the tables and cards that people read.
use rule job as analyse with:
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
    params:
        **step(
            "analyse",
            flags(EVALUATED | {"experiment": CONFIG["experiment"]}),
        ),
    message:
        "Summarizing all metrics over seeds and items, and testing differences"


# What the weights alone say of each update and grid. Asked for first, as `snakemake -- forecast` does,
# it is a forecast: no unlearned model is evaluated yet.
use rule job as forecast with:
    input:
        SURVIVAL,
        RECORDS,
    output:
        listed("<results>/tables/forecast.csv", "Mechanism", "Forecast from the weights (CSV)"),
    log:
        "<logs>/tables/forecast.log",
    benchmark:
        "<benchmarks>/tables/forecast.tsv"
    params:
        **step("forecast", flags(PLACE | {"cells": CELLS})),
    message:
        "Forecasting from the weights which updates are lost"


use rule job as score with:
    input:
        "<results>/tables/forecast.csv",
        "<results>/tables/metrics.csv",
    output:
        "<results>/tables/scored.csv",
        "<results>/tables/score.md",
    log:
        "<logs>/tables/score.log",
    benchmark:
        "<benchmarks>/tables/score.tsv"
    params:
        **step("score", flags(PLACE | {"output": f"{RESULTS}/tables"})),
        read=digest(ROOT / "resources/predictions.yaml")[:12],
    message:
        "Scoring the forecast by what came back"


# The main table, the mechanism's, all candidates, our numbers beside the published ones, and what
# the paper claims, judged.
use rule job as write_tables with:
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
        multiext("<results>/tables/", "mechanism.md", "reversion.md"),
        ["<results>/tables/vs_paper.csv"] if CONFIG["counterpart"] == "paper" else [],
        multiext("<results>/tables/claims", ".csv", "_published.csv", ".md"),
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
        **step(
            "write_tables",
            flags(
                EVALUATED
                | {"swept": SWEPT, "notes": footnotes(CONFIG)}
                | {"counterpart": CONFIG["counterpart"]}
            ),
        ),
        read=[digest(ROOT / "resources" / name)[:12] for name in ("claims.yaml", "published")],
    message:
        "Writing the tables"


# The verdict on a model of the user's.
use rule job as write_audit with:
    input:
        "<results>/tables/summary.csv",
        expand("<results>/proof/{cell}.json", cell=PROVED),
    output:
        listed("<results>/tables/audit.json", "Audit", "Audit (JSON)"),
        "<results>/tables/audit.md",
    log:
        "<logs>/tables/audit.log",
    benchmark:
        "<benchmarks>/tables/audit.tsv"
    params:
        **step("write_audit", audit_flags),
    message:
        "Judging every format of the audited model"


use rule job as model_cards with:
    input:
        # Folders: a card is also written into each, which changes nothing that other jobs read.
        expand("<results>/quantized/{cell}", cell=CELLS),
        metrics="<results>/tables/metrics.csv",
    output:
        expand("<results>/cards/{cell}.md", cell=CELLS),
    log:
        "<logs>/tables/cards.log",
    benchmark:
        "<benchmarks>/tables/cards.tsv"
    params:
        **step("model_cards", flags(PLACE | {"cells": CELLS})),
    message:
        "Writing a card for every quantized model"
