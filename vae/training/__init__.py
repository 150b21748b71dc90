"""The training loop, its step, its state, its monitoring, and the test at its end."""
