"""Does unlearning survive quantization? The library behind the workflow's scripts."""

__version__ = "0.1.0"
