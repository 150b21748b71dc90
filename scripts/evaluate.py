"""Recompute a run's test numbers from a checkpoint: `python scripts/evaluate.py outputs/RUN`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "evaluate")

if __name__ == "__main__":
    sys.exit(start_script("evaluate"))
