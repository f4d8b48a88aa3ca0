"""Figures: the tidy table in, PNG and PDF out, the same bytes for the same numbers."""

OVER_PRECISIONS = ("survival_of_forgetting", "reversion", "slope")


def module_of(figure: str) -> str:
    """The module here whose `plot` draws a figure."""
    return f"plot_{'over_precisions' if figure in OVER_PRECISIONS else figure}"
