"""The parts of `python scripts/benchmark.py`, described in README.md."""
