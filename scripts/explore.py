"""Make a page to move the latents of models by hand: `python scripts/explore.py outputs/RUN`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "explore")

if __name__ == "__main__":
    sys.exit(start_script("explore"))
