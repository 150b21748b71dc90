"""The names of the files in the directory of a run."""

CONFIGURATION = ".hydra/config.yaml"  # what was configured: see `vae.run.record`
RUN = "run.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"  # the folder of these three
CONFIGURATION_COPY = f"{CHECKPOINTS}/config.yaml"
LAST, BEST = "last", "best"
PREVIOUS = "previous"  # the `last` before this one, should this one be damaged
LAST_CHECKPOINT = f"{CHECKPOINTS}/{LAST}"
FIGURES = "figures"  # the folder of the newest of each
CODES = "codes.npz"  # of the first test images, so that runs can be compared without their models
LOG = "train.log"
LOCK = ".lock"  # held by the process that trains
LOCK_HOLDER = ".lock-holder"  # which process that is: for the message to another one that wants the lock
