"""Recommend a beta for a stated aim: `python scripts/choose.py outputs/SWEEP --rate 12`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "choose")

if __name__ == "__main__":
    sys.exit(start_script("choose"))
