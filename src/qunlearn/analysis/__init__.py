"""From the records of all cells to the tables of an experiment."""
