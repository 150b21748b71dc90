"""What `scripts/benchmark.py` measures: one subject a file. Each gives rows for one table."""
