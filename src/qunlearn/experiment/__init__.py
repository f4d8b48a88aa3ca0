"""What an experiment is: its settings, and the one vocabulary of names."""
