"""Two runs of one experiment: where they part, by how much, and whether within noise."""
