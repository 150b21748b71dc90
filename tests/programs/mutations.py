"""Remove one guard at a time and check that a test fails: `python tests/programs/mutations.py`, ten minutes of a core.

For each guard the checkout is copied, the guard is removed from the copy, and the guard's tests run there. If they
still pass, nothing tests the guard, and the exit code is 1.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]


class Mutation(NamedTuple):
    """A guard in the code, and the tests that must fail without it."""

    guard: str
    file: str
    text: str  # must occur once in the file
    instead: str
    tests: tuple[str, ...]  # arguments of pytest


SAVE = ("tests/test_checkpoint.py",)
RESUME = ("tests/test_resuming.py", "-k", "continues")
MUTATIONS = (
    Mutation(
        "rename",
        "vae/run/files.py",
        "_set_folder_aside(path)\n        temporary.replace(path)",
        "_set_folder_aside(path)\n        path.write_bytes(content)",
        SAVE,
    ),
    Mutation("fsync", "vae/run/files.py", "os.fsync(file.fileno())", "pass", SAVE),
    Mutation(
        "checksum",
        "vae/run/checkpoint.py",
        "if first not in (",
        "if not payload and first not in (",
        SAVE,
    ),
    Mutation(
        "no foreign code",
        "vae/run/checkpoint.py",
        "weights_only=True",
        "weights_only=False",
        (*SAVE, "-k", "cannot_run"),
    ),
    Mutation("the checkpoint before", "vae/run/checkpoint.py", "state = load(previous)", "raise error", SAVE),
    Mutation("kept when saving", "vae/run/files.py", "add_name(path, keep)", "pass", SAVE),
    Mutation(
        "generator's state",
        "vae/training/state.py",
        'self.generator.set_state(state["generator"])',
        "pass",
        RESUME,
    ),
    Mutation(
        "optimizer's state",
        "vae/training/state.py",
        'load_moments(self.optimizer, state["optimizer"])',
        "pass",
        RESUME,
    ),
    Mutation(
        "objective's state",
        "vae/run/learned.py",
        'learner.load_state_dict(state["objective"])',
        "pass",
        RESUME,
    ),
    Mutation(
        "sums of the epoch", "vae/training/state.py", 'self.epoch_sums.copy_(state["epoch_sums"])', "pass", RESUME
    ),
    Mutation(
        "sums since logged",
        "vae/training/state.py",
        'self.interval_sums.copy_(state["interval_sums"])',
        "pass",
        RESUME,
    ),
    Mutation(
        "steps of an epoch that are done",
        "vae/training/loop.py",
        "order.split(options.batch_size)[steps_done:]",
        "order.split(options.batch_size)[: training.steps_per_epoch - steps_done]",
        RESUME,
    ),
    Mutation(
        "loss is a number",
        "vae/training/loop.py",
        "if not math.isfinite(numbers.loss):",
        "if step < 0:",
        ("tests/test_training.py", "-k", "number or finite or diverged"),
    ),
    Mutation(
        "parameters are numbers",
        "vae/training/state.py",
        "if not math.isfinite(tensor.sum()) and not bool(tensor.isfinite().all()):",
        "if False:",
        ("tests/test_training.py", "-k", "number or finite or diverged"),
    ),
    Mutation(
        "NaN is refused",
        "vae/probability/finite.py",
        "math.isnan(value.detach().sum()) and bool(value.isnan().any())",
        "False",
        ("tests/test_divergences.py", "tests/test_distributions.py"),
    ),
    Mutation(
        "bound of the log-variance",
        "vae/probability/distributions.py",
        "return logvar.clamp(low, high)",
        "return logvar.clone()",
        ("tests/test_distributions.py",),
    ),
    Mutation("range", "vae/config/run.py", "check_ranges(self)", "pass", ("tests/test_bad_command_lines.py",)),
    Mutation(
        "one run a directory",
        "vae/app/main.py",
        "if holds_a_run(directory):",
        "if False:",
        ("tests/test_app.py", "-k", "not_used_again"),
    ),
    Mutation(
        "lock",
        "vae/run/directory.py",
        "lock.acquire(timeout=min(left, 1.0))",
        "suppress()",
        ("tests/test_app.py", "-k", "trained_by_another"),
    ),
    Mutation(
        "leftovers",
        "vae/run/directory.py",
        "        remove_leftovers(directory)\n",
        "",
        ("tests/test_app.py", "-k", "half_written"),
    ),
    Mutation(
        "no line twice",
        "vae/run/tracking.py",
        'lambda line: line["step"] <= first_step',
        "lambda line: True",
        ("tests/test_tracking.py",),
    ),
    Mutation(
        "no event twice",
        "vae/run/tracking.py",
        "purge_step=first_step + 1 if first_step else 0",
        "",
        ("tests/test_tracking.py",),
    ),
    Mutation(
        "no conclusion twice",
        "vae/training/conclusion.py",
        "training.tracker.begin_conclusion(state.step)",
        "pass",
        ("tests/test_conclusion.py",),
    ),
    Mutation(
        "done is said last",
        "vae/training/conclusion.py",
        "    write_codes(directory, coded,",
        "    write_json(directory / SUMMARY, summary)\n    write_codes(directory, coded,",
        ("tests/test_conclusion.py",),
    ),
    Mutation(
        "the same images",
        "vae/app/data.py",
        "if before and sorted(before.values()) != sorted(now.values())",
        "if False",
        ("tests/test_app.py", "-k", "other_images"),
    ),
    Mutation(
        "what a member was asked for",
        "vae/app/member.py",
        'summary.get("asked") == asked(config) or ',
        "",
        ("tests/test_sweep.py", "-k", "early_stopping"),
    ),
    Mutation(
        "the checksum of a configuration",
        "vae/run/record.py",
        "if first != _first_line_of(body)",
        "if False",
        ("tests/test_record.py", "-k", "flipped"),
    ),
    Mutation(
        "no reference in a configuration",
        "vae/run/record.py",
        "if isinstance(event, yaml.AliasEvent)",
        "if False",
        ("tests/test_record.py", "-k", "gigabytes"),
    ),
    Mutation(
        "MNIST's sha256",
        "vae/data/mnist.py",
        "if name is Dataset.MNIST and (sha256 := sha256_of(data)) != MNIST_SHA256[file]:",
        'if (sha256 := sha256_of(data)) == "":',
        ("tests/test_data_faults.py", "tests/test_data_mnist.py"),
    ),
    Mutation(
        "the second signal",
        "vae/run/signals.py",
        "raise SystemExit(128 + number)",
        "return",
        ("tests/test_signals.py",),
    ),
    Mutation(
        "fp32 multiplications stay fp32",
        "vae/training/hardware.py",
        "and not intel and not rounds_factors()",
        "and not intel",
        ("tests/test_hardware.py",),
    ),
    Mutation(
        "Intel keeps MKL",
        "vae/training/hardware.py",
        "and not intel and not rounds_factors()",
        "and not rounds_factors()",
        ("tests/test_hardware.py",),
    ),
    Mutation(
        "bf16 wants its instructions",
        "vae/training/hardware.py",
        "and not any(cpu().get(name) for name in BF16_ON_X86)",
        "",
        ("tests/test_hardware.py",),
    ),
)


def copied(folder: Path) -> Path:
    """Copy the checkout into the folder, which is returned."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, target)
    return folder


def noticed(mutation: Mutation, folder: Path) -> bool:
    """Whether the tests fail in this copy of the checkout without the guard."""
    file = folder / mutation.file
    before = file.read_text()
    if before.count(mutation.text) != 1:
        raise SystemExit(f"{mutation.guard}: {mutation.text!r} must be in {mutation.file} once. Correct the table")
    file.write_text(before.replace(mutation.text, mutation.instead))
    return tests_fail(folder, mutation.tests)


def tests_fail(folder: Path, tests: Sequence[str]) -> bool:
    """Whether one of the tests fails in this copy of the checkout."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=600)
    if done.returncode not in (0, 1):  # 1 is that a test failed
        raise SystemExit(f"pytest {' '.join(tests)} ended with {done.returncode}: {done.stdout.decode()[-2000:]}")
    return done.returncode == 1


def main() -> int:
    """Print whether a test fails without each guard. The exit code is 1 if none does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "guards", nargs="*", metavar="guard", help=f"default all: {', '.join(m.guard for m in MUTATIONS)}"
    )
    arguments = parser.parse_args()
    unknown = set(arguments.guards) - {mutation.guard for mutation in MUTATIONS}
    if unknown:
        parser.error(f"there is no guard {', '.join(sorted(unknown))}")
    chosen = [mutation for mutation in MUTATIONS if not arguments.guards or mutation.guard in arguments.guards]
    for tests in dict.fromkeys(mutation.tests for mutation in chosen):
        with tempfile.TemporaryDirectory() as folder:
            if tests_fail(copied(Path(folder)), tests):
                raise SystemExit(f"{' '.join(tests)} fail with all guards in place. Mend that first")
    missed = 0
    for mutation in chosen:
        with tempfile.TemporaryDirectory() as folder:
            found = noticed(mutation, copied(Path(folder)))
        print(f"{mutation.guard:32} {mutation.file:24} {'a test fails' if found else 'NO TEST FAILS'}", flush=True)
        missed += not found
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
