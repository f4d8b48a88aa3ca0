"""Asking a model: generation, likelihood, the metrics of MUSE and their intervals."""
