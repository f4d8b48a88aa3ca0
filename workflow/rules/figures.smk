# What people see first: a figure for every claim.
rule figure:
    input:
        figure_inputs,
    output:
        report(
            out("figures/{figure}.png"),
            caption="../report/figure.rst",
            category=lambda wildcards: TITLES[drawn_by(wildcards)[0]][0],
            labels=figure_labels,
        ),
        out("figures/{figure}.pdf"),
    log:
        out("logs/figures/{figure}.log"),
    benchmark:
        out("benchmarks/figures/{figure}.tsv")
    wildcard_constraints:
        figure="|".join(DRAWN),
    conda:
        "../../envs/tables.yaml"
    threads: cores("tables")
    resources:
        **needs("tables"),
    params:
        code=lambda wildcards: code("plot.py", figure=drawn_by(wildcards)[0]),
        flags=figure_flags,
        folder=subpath(output[0], parent=True),
    message:
        "Drawing {wildcards.figure}"
    shell:
        "run plot.py {params.flags:q} --output {params.folder:q} > {log:q} 2>&1"
