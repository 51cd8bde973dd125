"""The networks: transform and prior, and the files that hold their weights."""
