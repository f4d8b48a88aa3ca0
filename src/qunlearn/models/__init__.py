"""What a model folder is, and what its shape decides."""
