"""Corpora: the folder layout that every source ends in, and the sources themselves."""
