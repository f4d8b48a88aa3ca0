"""How a script runs: its command line, its files, its manifest, its fingerprint."""
