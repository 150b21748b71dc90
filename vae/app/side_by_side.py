"""A sweep whose members train side by side on this machine, each in a process of its own: `hydra/launcher=joblib`."""

import threading
from contextlib import suppress

from vae.app import console
from vae.app.command_line import Command
from vae.app.devices import own_devices
from vae.app.launchers import members_at_once
from vae.app.member import train_member
from vae.app.trainings import Trainings
from vae.training.cores import usable_cores

PAUSE_SECONDS = 0.2  # Python handles signals in the main thread only, which may sleep for so long


def train_side_by_side(command: Command, trainings: Trainings) -> None:
    """Train the members, several at a time. Each gets a line when it ends. They share the cores and the GPUs.

    Args:
        command: the checked command of a sweep.
        trainings: of this sweep.

    Raises:
        OSError: the disk is full. The members that had begun have ended.
        ChildProcessError: no process could be started. Likewise.
        RuntimeError: no thread could be started. Likewise.
        SystemExit: a signal asked the sweep to stop. Likewise.
    """
    assert command.launcher is not None
    at_once, devices = members_at_once(command.launcher), own_devices()
    threads = max(1, usable_cores() // at_once)
    tasks = list({task.directory: task for task in command.tasks}.values())
    left = iter(tasks)  # shared by all workers

    def work() -> None:
        try:
            with trainings.trainer() as trainer:
                for task in left:
                    train_member(task, trainer, command.free, threads, devices)
                    if trainings.are_over:
                        return
        except BaseException as error:  # it is raised below, in the main thread
            trainings.errors.append(error)

    workers: list[threading.Thread] = []

    def wait() -> None:
        while alive := [worker for worker in workers if worker.is_alive()]:
            alive[0].join(PAUSE_SECONDS)

    try:
        for _ in range(min(at_once, len(tasks))):
            worker = threading.Thread(target=work)
            worker.start()
            workers.append(worker)
    except RuntimeError as error:
        trainings.errors.append(error)
    with suppress(SystemExit):  # a signal came while no member was training
        wait()
    wait()
    if trainings.asked is not None:
        console.say("stop   the same command goes on")
    trainings.stop_if_asked()
    if trainings.errors:
        raise trainings.errors[0]
