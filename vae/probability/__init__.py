"""Divergences, distributions, and checks for NaN. Divergences and log-densities are in nats."""
