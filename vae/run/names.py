"""The names of the files in the directory of a run."""

CONFIGURATION = ".hydra/config.yaml"  # see `vae.run.record`
RUN = "run.json"
SUMMARY = "summary.json"
METRICS = "metrics.jsonl"
CHECKPOINTS = "checkpoints"  # the folder of `last`, `previous` and `best`
CONFIGURATION_COPY = f"{CHECKPOINTS}/config.yaml"
LAST, BEST = "last", "best"
PREVIOUS = "previous"  # the checkpoint before `last`, used if `last` is damaged
LAST_CHECKPOINT = f"{CHECKPOINTS}/{LAST}"
FIGURES = "figures"  # the folder of the newest pictures
CODES = "codes.npz"  # posteriors of the first test images. A report compares runs by them
EXPLORER = "explorer.html"  # the page of `vae.pages.explorer`, also of a sweep
LOG = "train.log"
MEMBERS = "members.json"  # of a sweep: the names of all that its commands have asked for
LOCK = ".lock"  # locked by the process that trains
LOCK_HOLDER = ".lock-holder"  # which process holds the lock
