"""Compare sweeps and runs on one page: `python scripts/report.py outputs/SWEEP`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "report")

if __name__ == "__main__":
    sys.exit(start_script("report"))
