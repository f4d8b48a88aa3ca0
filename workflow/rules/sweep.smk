# Grids of settings: candidates are trained and evaluated, and one is chosen for each cell.
if SWEPT:

    # `unlearn` does not train a swept cell: its model is one of the candidates.
    ruleorder: select_candidate > unlearn

    use rule unlearn as sweep with:
        output:
            record=directory(
                "<results>/records/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}"
            ),
            output=kept("<results>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}"),
        log:
            "<logs>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}.log",
        benchmark:
            "<benchmarks>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}.tsv"
        message:
            "Unlearning {wildcards.corpus}: {wildcards.objective}, {wildcards.adapter}, seed {wildcards.seed}, {wildcards.point}"

    use rule job as evaluate_candidates with:
        input:
            "<results>/sweep/{corpus}/{objective}/{adapter}/seed{seed}/{point}",
            corpus=questions("selection"),
            base=base_of,
        output:
            output="<results>/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.json",
        log:
            "<logs>/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.log",
        benchmark:
            "<benchmarks>/selection/{corpus}/{objective}/{adapter}/seed{seed}/{point}.tsv"
        priority: READERS
        params:
            **step("evaluate_candidates", candidate_flags),
        message:
            "Evaluating the candidates of {wildcards.corpus}/{wildcards.objective}/{wildcards.adapter}, seed {wildcards.seed}, {wildcards.point}"

    # Target and retrain on the same questions.
    use rule evaluate_candidates as evaluate_reference with:
        input:
            models=model_of,
            corpus=questions("selection"),
        output:
            output="<results>/selection/{corpus}/{model}.json",
        log:
            "<logs>/selection/{corpus}/{model}.log",
        benchmark:
            "<benchmarks>/selection/{corpus}/{model}.tsv"
        wildcard_constraints:
            model=REFERENCE_MODEL,
        message:
            "Evaluating {wildcards.corpus}/{wildcards.model} on the candidates' questions"

    use rule job as select_candidate with:
        input:
            of_candidates("<results>/selection/{cell}/seed{seed}/{point}.json"),
            of_candidates("<results>/sweep/{cell}/seed{seed}/{point}"),
            target=reference_answers("target"),
            retrain=reference_answers("retrain"),
        output:
            "<results>/selection/{cell}.json",
            kept(expand("<results>/unlearned/{{cell}}/seed{seed}", seed=CONFIG["seeds"])),
            directory(
                expand("<results>/records/unlearned/{{cell}}/seed{seed}", seed=CONFIG["seeds"])
            ),
        log:
            "<logs>/selection/{cell}.log",
        benchmark:
            "<benchmarks>/selection/{cell}.tsv"
        params:
            **step("select_candidate", selection_flags),
        message:
            "Selecting a candidate for {wildcards.cell}"
