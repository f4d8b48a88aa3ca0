"""Choosing one candidate of a grid: on which questions, by which rule, and how that is told."""
