# What is looked at before any work is done.
def look_before_work():
    """Complain about what would make a job fail, before the first one starts."""
    if workflow.is_main_process:  # and not in each job of a cluster
        try:
            checks = preflight.preflight(
                CONFIG, Path(out("")), cluster=workflow.non_local_exec
            )
        except InputError as error:
            sys.exit(f"error: {error}")
        preflight.keep(checks, Path(out("preflight.json")))


def check_what_is_given():
    """Look at the folders and commits that the user gives before any work is done."""
    revisions.check(CONFIG, map(os.path.relpath, workflow.overwrite_configfiles))
    for corpus in CONFIG["corpora"]:
        if CONFIG["corpus"]["source"] == "local":
            local.verify(Path(CONFIG["muse_dir"]) / corpus)
        tokenizer = sources.tokenizer_of(CONFIG, corpus)
        files_of(tokenizer)
        for source in sources.used(CONFIG, corpus).values():
            files_of(source)
            if source.kind == "folder":
                check_checkpoint(Path(source.value), tokenizer=tokenizer is None)


if workflow.is_main_process:
    try:
        check_what_is_given()
    except InputError as error:
        sys.exit(f"error: {error}")


# Not a rule: as an ordinary input it would run everything again after each change of the
# configuration, and an ancient one hides from Snakemake 9 what else must run.
onstart:
    look_before_work()
