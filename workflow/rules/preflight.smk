# What is looked at before any work is done.
def look_at_scheduler():
    """The end of jobs will be seen."""
    if workflow.executor_plugin.name == "slurm":
        settings = workflow.executor_settings
        scheduler.check(
            settings.status_command, settings.init_seconds_before_status_checks
        )


def look_before_work():
    """Complain about what would make a job fail, before the first one starts."""
    if workflow.is_main_process:  # and not in each job of a cluster
        try:
            look_at_scheduler()
            if not CONDA:  # whose environments are made later
                interpreter.check(PYTHON)
            checks, jobs = preflight.preflight(
                CONFIG, Path(out("")), cluster=workflow.non_local_exec
            )
            NEEDS.update(plan.needs(CONFIG, jobs))
            results.check_results(Path(out("")), results.given_paths(CONFIG))
            runlock.hold(Path(out("")))
        except InputError as error:
            sys.exit(f"error: {error}")
        preflight.keep(checks, Path(out("preflight.json")))


if workflow.is_main_process:
    try:
        results.check_notes(Path.cwd())
        runlock.take_over(Path(out("")))
        admission.check_given(
            CONFIG, map(os.path.relpath, workflow.overwrite_configfiles)
        )
    except InputError as error:
        sys.exit(f"error: {error}")


# Not a rule: as an ordinary input it would run everything again after each change of the
# configuration, and an ancient one hides from Snakemake 9 what else must run.
onstart:
    look_before_work()


def key_of(rule, resource):
    """Where it is said what the jobs of a rule ask for."""
    asking = getattr(rule.resources.get(resource), "_evaluator", None)
    kind = getattr(asking, "kind", "")
    return (
        f"resources.{kind}.{resource}"
        if kind
        else f"{resource} in the profile's set-resources"
    )


def failure(job, sent):
    """A job that failed for the last time, as slurmlogs tells of it."""
    jobs = list(job.jobs) if job.is_group() else [job]
    rules = ", ".join(sorted({each.rule.name for each in jobs}))
    of = ", ".join(f"{key}={value}" for key, value in jobs[0].wildcards_dict.items())
    return slurmlogs.Failure(
        job=(
            f"group of {rules}"
            if job.is_group()
            else f"rule {rules}" + (f" ({of})" if of else "")
        ),
        mem_mb=job.resources.get("mem_mb"),
        runtime=job.resources.get("runtime"),
        mem_key=key_of(jobs[0].rule, "mem_mb"),
        runtime_key=key_of(jobs[0].rule, "runtime"),
        attempt=job.attempt,
        slurm_log=sent.get(str(job.jobid)),
        logs=tuple(Path(log) for each in jobs for log in each.log),
    )


# Last on the screen: a line for each job, where Slurm's own words are in one log of many.
onerror:
    if workflow.executor_plugin.name == "slurm":
        sent = slurmlogs.submissions(
            "".join(Path(file).read_text() for file in log)
        )
        for job in workflow.scheduler.failed:
            print(f"error: {slurmlogs.told(failure(job, sent))}", file=sys.stderr)
