# What people see first: a figure for every claim, and the pages that only the report has.
# `snakemake --report FILE.html` binds them and the tables into one file.
use rule analyse as figure with:
    input:
        lambda wildcards: FIGURES[wildcards.figure]["reads"],
    output:
        report(
            "<results>/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: FIGURES[wildcards.figure]["category"],
            labels=lambda wildcards: FIGURES[wildcards.figure]["labels"],
        ),
        "<results>/figures/{figure}.pdf",
    log:
        "<logs>/figures/{figure}.log",
    benchmark:
        "<benchmarks>/figures/{figure}.tsv"
    params:
        code=lambda wildcards: code(
            "plot.py", by_name=f"report/figures/plot_{FIGURES[wildcards.figure]['kind']}"
        ),
        script="plot",
        flags=lambda wildcards: FIGURES[wildcards.figure]["flags"],
    message:
        "Drawing {wildcards.figure}"


use rule analyse as page with:
    input:
        page_inputs,
    output:
        report(
            "<results>/report/{page}.html",
            caption="../report/page.rst",
            category=lambda wildcards: TITLES[wildcards.page][0],
            labels=lambda wildcards: {"result": TITLES[wildcards.page][1]},
        ),
    log:
        "<logs>/report/{page}.log",
    benchmark:
        "<benchmarks>/report/{page}.tsv"
    params:
        code=code("write_page.py"),
        script="write_page",
        flags=page_flags,
    message:
        "Writing {output}"


use rule page as story with:
    input:
        expand("<results>/tables/{name}.csv", name=["mechanism", "summary", "tests", "claims"]),
    output:
        "<results>/report/story.rst",
    log:
        "<logs>/report/story.log",
    benchmark:
        "<benchmarks>/report/story.tsv"


use rule page as answer with:
    input:
        "<results>/tables/summary.csv",
    output:
        "<results>/report/answer.txt",
    log:
        "<logs>/report/answer.log",
    benchmark:
        "<benchmarks>/report/answer.tsv"
