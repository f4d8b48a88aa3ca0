"""Choosing one candidate of a grid: on which questions, and how."""
