"""Divergences, distributions and the checks that their numbers are finite. All are in nats."""
