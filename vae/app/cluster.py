"""A sweep as jobs of a cluster: submitit starts them, under Slurm or on this machine, and this process waits for them.

Hydra's plugin for submitit has the settings, `hydra.launcher.*`. Its own waiting is not used: it needs Slurm's
accounting, ends at the first job that was cancelled, and does not find the jobs of an earlier command.

Under Slurm, `.submitit/jobs.json` of the sweep names the job of each member. A member whose job is in the queue is not
submitted again, whoever gives the command.
"""

import io
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import submitit
from filelock import FileLock
from submitit.core.utils import UncompletedJobError

import vae
from vae.app import console
from vae.app.command_line import Command
from vae.app.invocation import Starter
from vae.app.member import is_done, table_row, train_member
from vae.app.slurm import ClusterError, Queue, State, in_words, is_local, is_over, states_of_jobs
from vae.app.trainings import Trainings
from vae.run.directory import BusyError, locked
from vae.run.files import DamagedFileError, read_json, write_json
from vae.run.record import Task
from vae.run.summary import read_summary

PLACE = ".submitit"  # the folder in the directory of a sweep
OUTCOME = "outcome.json"  # in the folder of a job that has ended by itself
LARGEST_ARRAY = 1_000  # jobs. Slurm's default is one more
COMMON = {"timeout_min", "cpus_per_task", "gpus_per_node", "tasks_per_node", "mem_gb", "nodes", "name"}
COMMON |= {"stderr_to_stdout"}  # these settings do not belong to Slurm alone
SHORTEST_PAUSE, LONGEST_PAUSE = 1.0, 60.0  # seconds between two looks at the jobs, which rise with the time waited
REQUEUE_DELAY = 2.0  # seconds in which a job may seem to have ended, and is requeued
OUTCOME_DELAY = 60.0  # seconds in which a file system of the network shows the file of a job that has ended


@dataclass(frozen=True)
class MemberJob:
    """The job of a member, which submitit stores and calls on a node.

    Attributes:
        task: the member.
        starter: of the process of the sweep.
        free: the keys that may have changed since the member was started.
        threads: how many it may use.
    """

    task: Task
    starter: Starter
    free: Collection[str]
    threads: int

    def __call__(self) -> None:
        """Train the member. If its time is over, it is saved, and then requeued.

        Raises:
            SystemExit: a signal asked it to stop, and it has been saved. The job may be requeued.
        """
        over = getattr(signal, f"SIG{submitit.JobEnvironment.USR_SIG}")
        outcome = submitit.JobEnvironment().paths.folder / OUTCOME
        out_of_time = False
        try:
            with Trainings(self.starter) as trainings, trainings.trainer() as trainer:
                train_member(self.task, trainer, self.free, self.threads)
        except SystemExit as stopped:
            if stopped.code != 128 + over:
                raise
            try:
                if not is_done(self.task.directory, self.task.record):  # the signal came at the last moment
                    signal.raise_signal(over)  # for submitit's own handler, which `Trainings` had replaced
            except UncompletedJobError:  # it has been requeued as often as is allowed
                out_of_time = True
        write_json(outcome, {"out_of_time": out_of_time})

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """What the requeued job calls: the same again, as a member goes on by what is in its directory."""
        return submitit.helpers.DelayedSubmission(self)


@dataclass(frozen=True)
class Job:
    """A job that was submitted.

    Attributes:
        number: of the job, as `12_3`.
        folder: of its files.
        local: submitit's own job where there is no Slurm, else None.
    """

    number: str
    folder: Path
    local: "submitit.Job[None] | None" = None

    @property
    def log(self) -> Path:
        """The file of what its process said."""
        return self.folder / f"{self.number}_0_log.err"

    @property
    def has_ended(self) -> bool:
        """Whether the files or the process of the job say that it has ended."""
        return (self.folder / OUTCOME).exists() or (self.local is not None and self.local.done())


@dataclass(frozen=True)
class Settings:
    """The settings of Hydra's launcher, `values`, by the names that the plugin gives them."""

    values: Mapping[str, Any]

    @property
    def is_slurm(self) -> bool:
        """Whether Slurm runs the jobs. Else they are processes of this machine."""
        return not is_local(self.values)

    @property
    def threads(self) -> int:
        """How many threads a member may use."""
        return int(self.values["cpus_per_task"] or 1)

    def executor(self) -> submitit.AutoExecutor:
        """What submits jobs by these settings."""
        cluster = "slurm" if self.is_slurm else "local"
        values = {key: value for key, value in self.values.items() if key != "_target_"}
        folder, retries = values.pop("submitit_folder"), values.pop("max_num_timeout", None)
        first = {} if retries is None else {f"{cluster}_max_num_timeout": retries}
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster, **first)
        if self.is_slurm:  # since Slurm 22.05, srun does not know how many CPUs its job has
            values["setup"] = ["export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}", *(values["setup"] or [])]
        executor.update_parameters(**{k if k in COMMON else f"{cluster}_{k}": v for k, v in values.items()})
        return executor


def train_on_cluster(command: Command, starter: Starter) -> None:
    """Submit the members that are neither done nor in the queue, and wait for all. Each gets a line when its job ends.

    Raises:
        ClusterError: the cluster takes no jobs.
        SystemExit: a signal asked this process to stop. The jobs go on.
    """
    assert command.sweep is not None
    assert command.launcher is not None
    settings, tasks = Settings(command.launcher), {task.directory.name: task for task in command.tasks}
    notes = command.sweep / PLACE / "jobs.json"
    notes.parent.mkdir(parents=True, exist_ok=True)
    closed: set[str] = set()  # members that this command does not submit again
    queue = Queue()
    while True:
        with FileLock(notes.with_suffix(".lock")):  # another command may be submitting
            waiting = jobs_in_queue(notes, tasks, queue if closed else None) if settings.is_slurm else {}
            left = [name for name in tasks if name not in {*waiting, *closed}]
            left = [name for name in left if not is_done(tasks[name].directory, tasks[name].record)]
            submitted: dict[str, Job] = {}
            for part in (left[i : i + LARGEST_ARRAY] for i in range(0, len(left), LARGEST_ARRAY)):
                members = [MemberJob(tasks[name], starter, command.free, settings.threads) for name in part]
                submitted |= zip(part, submit(settings, members), strict=True)
                if settings.is_slurm:
                    write_noted(notes, {**read_noted(notes), **submitted})
        if not waiting and not submitted:
            return
        say_begin(waiting, submitted)
        closed |= submitted.keys()
        try:
            for name, state in ends_of({**waiting, **submitted}, queue if settings.is_slurm else None):
                job = {**waiting, **submitted}[name]
                say_end(tasks[name], job, state, settings)
                if read_summary(tasks[name].directory)["status"] != "done":
                    closed.add(name)  # an earlier command's job may have trained fewer epochs, but this one failed
        except SystemExit:
            say_stop([*waiting.values(), *submitted.values()], settings)
            raise


def submit(settings: Settings, members: Sequence[MemberJob]) -> list[Job]:
    """Submit jobs, as one array.

    Raises:
        ClusterError: the cluster refuses them.
    """
    top = str(Path(vae.__file__).parents[1])  # where a node finds this package, whether or not it is installed
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [top, os.environ.get("PYTHONPATH")]))
    try:
        executor = settings.executor()
        with redirect_stderr(io.StringIO()), executor.batch():  # submitit prints what sbatch says, and raises it too
            jobs = [executor.submit(member) for member in members]
    except (RuntimeError, ValueError, OSError) as error:  # UncompletedJobError is a RuntimeError
        lines = [line for line in str(error).splitlines() if "error:" in line] or str(error).splitlines()[:1]
        raise ClusterError(f"the cluster takes no job: {' '.join(lines) or type(error).__name__}") from error
    local = not settings.is_slurm
    return [Job(job.job_id, job.paths.folder, job if local else None) for job in jobs]


def read_noted(notes: Path) -> dict[str, Job]:
    """The last job of each member, by its name. Empty without the file, or if it is damaged."""
    try:
        found = read_json(notes)
    except DamagedFileError:
        return {}
    pairs = {name: job for name, job in found.items() if isinstance(job, list) and len(job) == 2}
    return {name: Job(str(number), Path(str(folder))) for name, (number, folder) in pairs.items()}


def write_noted(notes: Path, jobs: Mapping[str, Job]) -> None:
    """Write the last job of each member."""
    write_json(notes, {name: [job.number, str(job.folder)] for name, job in jobs.items()})


def jobs_in_queue(notes: Path, names: Collection[str], queue: Queue | None) -> dict[str, Job]:
    """The noted jobs of these members that run or will run.

    Args:
        notes: the file that names the jobs.
        names: of the members.
        queue: is asked until Slurm answers. None to ask once.

    Raises:
        ClusterError: Slurm does not answer the one question.
    """
    noted = {name: job for name, job in read_noted(notes).items() if name in names and not job.has_ended}
    if not noted:
        return {}
    states = states_of_jobs() if queue is None else queue.wait_for_states(SHORTEST_PAUSE)
    return {name: job for name, job in noted.items() if not is_over(states.get(job.number))}


def ends_of(jobs: Mapping[str, Job], queue: Queue | None) -> Iterator[tuple[str, str | None]]:
    """The name of each job when it ends, and its last state under Slurm. None if the job has ended by itself.

    Args:
        jobs: by the names of their members.
        queue: of Slurm, which is asked until it answers. None without Slurm.
    """
    left, over_since, stuck = dict(jobs), dict[str, float](), set[State]()
    begun = time.monotonic()
    while left:
        for name in [name for name, job in left.items() if job.has_ended]:
            del left[name]
            yield name, None
        time.sleep(min(max((time.monotonic() - begun) / 20, SHORTEST_PAUSE), LONGEST_PAUSE))
        states = None if queue is None else queue.states()
        if states is None:
            continue
        now = time.monotonic()
        for name, job in list(left.items()):
            state = states.get(job.number)
            if state is not None and not is_over(state):
                over_since.pop(name, None)  # it is requeued
                if state.is_stuck and state not in stuck:
                    stuck.add(state)
                    why = f"its job {job.number} does not start yet, Slurm says {state.name} {state.reason}"
                    sys.stderr.write(f"warning: {name}: {why}\n")
                continue
            refresh(job.folder)
            late = now - over_since.setdefault(name, now)
            may_be_done = state is None or state.name == "COMPLETED"
            if not job.has_ended and late >= (OUTCOME_DELAY if may_be_done else REQUEUE_DELAY):
                del left[name]
                yield name, "gone" if state is None else state.name


def refresh(folder: Path) -> None:
    """Have a file system of the network show what is in a folder: a change of its attributes renews what is cached."""
    with suppress(OSError):
        folder.chmod(folder.stat().st_mode)


def say_begin(waiting: Mapping[str, Job], submitted: Mapping[str, Job]) -> None:
    """Print which jobs there are."""
    if waiting:
        console.say(f"jobs   {len(waiting)} of an earlier command, {numbers(waiting.values())}: waiting for them")
    if submitted:
        console.say(f"jobs   {len(submitted)} submitted, {numbers(submitted.values())}")


def say_stop(jobs: Sequence[Job], settings: Settings) -> None:
    """Print that the jobs go on."""
    if settings.is_slurm:
        console.say(f"stop   the jobs go on: the same command waits for them, scancel {numbers(jobs)} ends them")


def say_end(task: Task, job: Job, state: str | None, settings: Settings) -> None:
    """Print how a member has ended, in one line.

    Args:
        task: the member.
        job: its job.
        state: in which Slurm has ended the job. None if it has ended by itself.
        settings: of the jobs.
    """
    directory, name = task.directory, task.directory.name
    refresh(directory)
    summary = read_summary(directory)
    if summary["status"] == "done" or (summary["status"] == "failed" and state is None):
        console.say(table_row(directory, summary, len(name)))
        return
    if directory.is_dir():
        with suppress(BusyError, OSError), locked(directory, timeout_seconds=0):
            pass  # a killed process has left its name there
    if state is not None:
        why = in_words(state)
    elif out_of_time(job):
        allowed = settings.values.get("max_num_timeout", 0)
        why = f"ran out of time, and hydra.launcher.max_num_timeout={allowed} allows no other. The member is saved. "
        why += "Raise that or hydra.launcher.timeout_min"
    else:
        why = in_words("COMPLETED")
    sys.stderr.write(f"error: {name}: its job {job.number} {why}. See {job.log}\n")


def out_of_time(job: Job) -> bool:
    """Whether the job was requeued as often as is allowed."""
    try:
        return read_json(job.folder / OUTCOME).get("out_of_time") is True
    except DamagedFileError:
        return False


def numbers(jobs: Collection[Job]) -> str:
    """The numbers of jobs, arrays without their indices.

    Example:
        >>> numbers([Job("12_0", Path()), Job("12_1", Path()), Job("9", Path())])
        '9 12'
    """
    return " ".join(sorted({job.number.partition("_")[0] for job in jobs}, key=lambda text: (len(text), text)))
