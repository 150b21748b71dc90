"""A sweep whose members train side by side on this machine, each in a process of its own: `hydra/launcher=joblib`."""

import threading

from vae.app import console
from vae.app.command_line import Command
from vae.app.devices import own_devices
from vae.app.launchers import members_at_once
from vae.app.member import train_member
from vae.app.trainings import Trainings
from vae.training.cores import usable_cores

PAUSE_SECONDS = 0.2  # the longest delay of a signal that the system gives to another thread than the main one


def train_side_by_side(command: Command, trainings: Trainings) -> None:
    """Train the members, several at a time. Each gets a line when it ends. They share the cores and the GPUs.

    Args:
        command: the checked command of a sweep.
        trainings: of this sweep.

    Raises:
        OSError: the disk is full. The members that had begun have ended.
        ChildProcessError: no process could be started. Likewise.
        SystemExit: a signal asked the sweep to stop. The members have been saved.
    """
    assert command.launcher is not None
    at_once, devices = members_at_once(command.launcher), own_devices()
    threads = max(1, usable_cores() // at_once)
    tasks = list({task.directory: task for task in command.tasks}.values())
    left, errors = iter(tasks), list[BaseException]()  # shared by all workers

    def work() -> None:
        try:
            with trainings.trainer() as trainer:
                for task in left:
                    train_member(task, trainer, command.free, threads, devices)
                    if errors:
                        return
        except BaseException as error:  # it is raised below
            errors.append(error)

    # Daemons, as one may wait for another sweep, which trains its member for hours: a signal need not wait for it.
    workers = [threading.Thread(target=work, daemon=True) for _ in range(min(at_once, len(tasks)))]
    for worker in workers:
        worker.start()
    while (alive := [worker for worker in workers if worker.is_alive()]) and not trainings.have_stopped:
        alive[0].join(PAUSE_SECONDS)
    if trainings.asked is not None:
        console.say("stop   the members that were training are saved: the same command goes on")
        raise SystemExit(trainings.exit_code)
    if errors:
        raise errors[0]
