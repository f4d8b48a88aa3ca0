"""Figures: the tidy table in, PNG and PDF out, the same bytes for the same numbers."""
