# What people see first: a figure for every claim, and the pages that only the report has.
# `snakemake --report FILE.html` binds them and the tables into one file.
use rule analyse as figure with:
    input:
        figure_inputs,
    output:
        report(
            "<results>/figures/{figure}.png",
            caption="../report/figure.rst",
            category=lambda wildcards: PLOTS[drawn_by(wildcards)[0]][0],
            labels=figure_labels,
        ),
        "<results>/figures/{figure}.pdf",
    log:
        "<logs>/figures/{figure}.log",
    benchmark:
        "<benchmarks>/figures/{figure}.tsv"
    wildcard_constraints:
        figure="|".join(DRAWN),
    params:
        code=lambda wildcards: code("plot.py", figure=drawn_by(wildcards)[0]),
        script="plot",
        flags=figure_flags,
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
    wildcard_constraints:
        page="|".join(TITLES),
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
