"""What the best linear model reaches on data: `python scripts/predict.py beta=1,4`. See vae/app/verbs."""

import sys
from functools import partial

from vae.app.program import call_script, start_script

main = partial(call_script, "predict")

if __name__ == "__main__":
    sys.exit(start_script("predict"))
