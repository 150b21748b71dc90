"""The training loop, its step, its state, and what a run shows of itself."""
