"""The command `qunlearn`, for models from elsewhere; an experiment is Snakemake's."""

from pathlib import Path

from tyro.conf import Positional

from qunlearn.run.cli import hide_unused, run_commands


def forecast(
    before: Positional[Path],
    after: Positional[Path],
    output: Path = Path("forecast"),
    formats: tuple[str, ...] = (),
    packed: tuple[Path, ...] = (),
    repair: bool = False,
) -> None:
    """Forecast from two checkpoints alone in which formats the update between them is lost.

    Writes forecast.csv, forecast.md, forecast.png and forecast.pdf, and prints the table.

    Args:
        before: checkpoint folder: the model that was fine-tuned or unlearned.
        after: checkpoint folder, or LoRA adapter of `before`.
        output: folder of the four files.
        formats: e.g. fp4 nf4 q4_k; without any, those of docs/forecast.md that fit the model.
        packed: for each format that is only known from quantized models, such as gptq4, the
            folders of `before` and `after` in it.
        repair: also name formats of about as many bits in which a lost update would arrive.
    """
    hide_unused()
    from qunlearn.quantize.method import Precision, packed_pairs
    from qunlearn.report.pair_forecast import FORMATS, forecast_pair, markdown, split, write_pair
    from qunlearn.report.repair import candidates, repair_markdown, repairs

    fit, left_out = (formats, []) if formats else split(before, FORMATS)
    pairs = packed_pairs([Precision.parse(name) for name in fit], packed)
    found = forecast_pair(before, after, fit, pairs)
    text = markdown(found, left_out)
    if repair:
        others, _ = split(before, candidates(found))
        known = [*found, *forecast_pair(before, after, others, {})] if others else found
        text += "\n" + repair_markdown(repairs(known, fit))
    write_pair(output, found, text)
    print(text)


def audit(
    before: str,
    after: str,
    forget: Path,
    retain: Path | None = None,
    retrain: str | None = None,
    formats: tuple[str, ...] = ("nf4", "gptq4", "q4_k"),
    output: Path = Path("audit"),
    settings: Path | None = None,
    cores: int = 1,
) -> None:
    """Say for each format that a model ships in whether what was removed stays removed.

    Writes a configuration, audit.yaml, into the output folder and runs the workflow on it; then
    audit.json and audit.md lie beside it. Exits with 1 where the audit fails (config key
    audit.fail_if), and with 2 where it cannot be made. What was made is not made again.

    Args:
        before: checkpoint folder, hub:<id> or gguf:<file>: the model that was not unlearned.
        after: the same for the unlearned model; or the folder of a LoRA adapter of `before`.
        forget: what should have been forgotten: a text file whose documents are separated by blank
            lines; JSON lines, each {"text"} or {"question", "answer"}; or a folder in MUSE's
            layout.
        retain: what should have been kept, a file like `forget`.
        retrain: a model that never knew, written like `before`.
        formats: e.g. nf4 gptq4 q4_k: precisions of config/README.md.
        output: folder for all of it.
        settings: a configuration whose values go before those of audit.yaml.
        cores: how many processor cores to use.
    """
    import shutil
    import subprocess
    import sys

    import yaml

    from qunlearn.experiment import configfiles
    from qunlearn.models import sources
    from qunlearn.run.files import read_json, write_text

    def place(text: str | None) -> str | None:
        local = text is not None and sources.parse(text).kind == "folder"
        return str(Path(text).resolve()) if text and local else text

    given = {"forget": forget, "retain": retain}
    corpus = {name: str(path.resolve()) for name, path in given.items() if path}
    config = {
        "experiment": "audit",
        "corpora": ["text"],
        "corpus": {"source": "text"} | corpus,
        "models": {"target": place(before), "after": place(after), "retrain": place(retrain)},
        "unlearn": {"objectives": []},
        "precisions": ["bf16", *formats],
    }
    if not forget.is_dir():  # a folder has examples; MUSE's prompt is for them
        config["evaluate"] = {"shots": 0, "prompt": "plain"}
    files = [output.resolve() / "audit.yaml"] + ([settings.resolve()] if settings else [])
    write_text(files[0], yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
    configfiles.read(files)
    words = ["--snakefile", configfiles.ROOT / "Snakefile", "--cores", cores]
    words += ["--logger", "progress"]
    command = [sys.executable, "-m", "snakemake", *words, "--configfile", *files]
    if subprocess.run(list(map(str, command)), cwd=output).returncode:
        sys.exit(2)
    tables = output / "results/audit/tables"
    for name in ("audit.json", "audit.md"):
        shutil.copyfile(tables / name, output / name)
    print((output / "audit.md").read_text(encoding="utf-8"))
    sys.exit(int(read_json(output / "audit.json")["failed"]))


def main() -> None:
    """Run what the shell asks for."""
    run_commands({"audit": audit, "forecast": forecast})


if __name__ == "__main__":
    main()
