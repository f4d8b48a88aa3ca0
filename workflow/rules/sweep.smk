# Grids: candidates are trained, evaluated, and one is taken for each cell.
if SWEPT:

    # What is swept is not trained by `unlearn`: its model is one of the candidates.
    ruleorder: select_candidate > unlearn

    use rule unlearn as sweep with:
        output:
            model=kept(
                directory("<results>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}")
            ),
            record=directory(
                "<results>/records/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}"
            ),
        log:
            "<logs>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}.log",
        benchmark:
            "<benchmarks>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}.tsv"
        params:
            settings=point_flags,
        message:
            "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}, {wildcards.point}"

    rule ask_candidates:
        input:
            models="<results>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}",
            corpus=questions("selection"),
            base=base_of,
        output:
            "<results>/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.json",
        log:
            "<logs>/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.log",
        benchmark:
            "<benchmarks>/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.tsv"
        priority: READERS
        conda:
            "../../envs/evaluate.yaml"
        threads: cores("evaluate")
        resources:
            **needs("evaluate"),
        params:
            code=code("ask_candidates.py"),
            models=candidates,
            base=flag_of("base"),
            settings=flags(ASKING),
        message:
            "Evaluating the candidates of {wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}, seed {wildcards.seed}, {wildcards.point}"
        shell:
            "run ask_candidates.py --models {params.models:q} {params.base} "
            "--corpus {input.corpus:q} {params.settings} --output {output:q} > {log:q} 2>&1"

    # Target and retrain on the same questions.
    use rule ask_candidates as ask_reference with:
        input:
            models=model_of,
            corpus=questions("selection"),
            base=[],
        output:
            "<results>/selection/{corpus}/{model}.json",
        log:
            "<logs>/selection/{corpus}/{model}.log",
        benchmark:
            "<benchmarks>/selection/{corpus}/{model}.tsv"
        wildcard_constraints:
            model=REFERENCE_MODEL,
        params:
            models=lambda wildcards, input: input.models,
        message:
            "Evaluating {wildcards.corpus}/{wildcards.model} on the candidates' questions"

    rule select_candidate:
        input:
            answers=of_candidates("<results>/selection/{cell}/seed{seed}/{point}.json"),
            trained=of_candidates("<results>/sweep/{cell}/seed{seed}/{point}"),
            target=reference_answers("target"),
            retrain=reference_answers("retrain"),
        output:
            "<results>/selection/{cell}.json",
            models=kept(
                directory(expand("<results>/unlearned/{{cell}}/seed{seed}", seed=CONFIG["seeds"]))
            ),
            records=directory(
                expand("<results>/records/unlearned/{{cell}}/seed{seed}", seed=CONFIG["seeds"])
            ),
        log:
            "<logs>/selection/{cell}.log",
        benchmark:
            "<benchmarks>/selection/{cell}.tsv"
        conda:
            "../../envs/tables.yaml"
        threads: cores("tables")
        resources:
            **needs("tables"),
        params:
            code=code("select_candidate.py"),
            points=lambda wildcards: [point.name for point in POINTS[wildcards.cell]],
            seeds=CONFIG["seeds"],
            rule=selection_flags,
        message:
            "Selecting a candidate for {wildcards.cell}"
        shell:
            "run select_candidate.py --cell {wildcards.cell} --points {params.points:q} "
            "--seeds {params.seeds:q} --target {input.target:q} --retrain {input.retrain:q} "
            '{params.rule} --answers "$RESULTS/selection/{wildcards.cell}" '
            '--trainings "$RESULTS/sweep/{wildcards.cell}" --models {output.models:q} '
            "--output {output[0]:q} > {log:q} 2>&1; for seed in {params.seeds:q}; do "
            'record "$RESULTS"/{{,records/}}unlearned/{wildcards.cell}/seed$seed; done'
