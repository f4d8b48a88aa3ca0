"""From one `metrics.json` a cell to the tables that people read."""
