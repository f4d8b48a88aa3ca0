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
    """
    hide_unused()
    from qunlearn.quantize.method import Precision, packed_pairs
    from qunlearn.report.pair_forecast import FORMATS, forecast_pair, markdown, split, write_pair

    fit, left_out = (formats, []) if formats else split(before, FORMATS)
    pairs = packed_pairs([Precision.parse(name) for name in fit], packed)
    found = forecast_pair(before, after, fit, pairs)
    write_pair(output, found, left_out)
    print(markdown(found, left_out))


def main() -> None:
    """Run what the shell asks for."""
    run_commands({"forecast": forecast})


if __name__ == "__main__":
    main()
