"""Compress the test images of a run: `python scripts/compress.py outputs/RUN`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "compress")

if __name__ == "__main__":
    sys.exit(start_script("compress"))
