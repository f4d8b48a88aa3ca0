# What is looked at before any work is done.
def look_before_work():
    """Complain about what would make a job fail, before the first one starts."""
    if workflow.is_main_process:  # and not in each job of a cluster
        try:
            warnings, jobs = preflight.preflight(
                CONFIG,
                Path(out("")),
                cluster=workflow.non_local_exec,
                python=None if CONDA else PYTHON,  # conda's environments are made later
            )
            NEEDS.update(plan.needs(CONFIG, jobs))
            preflight.keep(warnings, Path(out("preflight.json")))
        except InputError as error:
            sys.exit(f"error: {error}")
        unlock.note_run()


if workflow.is_main_process:
    try:
        unlock.unlock_after_kill()
        inputs.check_given(CONFIG)
    except InputError as error:
        sys.exit(f"error: {error}")


# Not a rule: as an ordinary input it would run everything again after each change of the
# configuration, and an ancient one hides from Snakemake 9 what else must run.
onstart:
    look_before_work()
