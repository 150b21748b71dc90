"""Draw the latent traversals of runs: `python scripts/traverse.py outputs/RUN`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "traverse")

if __name__ == "__main__":
    sys.exit(start_script("traverse"))
