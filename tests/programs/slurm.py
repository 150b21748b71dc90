"""Run a command beside a Slurm of one node: `python tests/programs/slurm.py [COMMAND ...]`. Without one, its tests.

As root, slurmctld, slurmd and munged are started on 127.0.0.1, with files, ports and a key of their own, and are
ended with the command. Nothing in /etc is written or read, and no other Slurm of this machine is touched. If the
programs are missing, Debian's packages slurm-wlm and munge are installed first. Where all this is not possible, one
line says so, and the exit code is 0.
"""

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
PACKAGES = ("slurm-wlm", "munge")
TESTS = (sys.executable, "-m", "pytest", "-q", "-n", "2", "tests/test_sweep_slurm.py")
MARK = "BETA_VAE_SLURM"  # the tests run where this variable names the folder of a node
CPUS = 8  # that the node claims to have: jobs of one CPU run side by side, whatever the machine has
PATIENCE_SECONDS = 60.0  # for the node to be idle

# Accounting is off, as in Slurm's defaults: `sacct` fails. A job that is requeued waits for its credentials to expire.
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmdParameters=config_overrides
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=batch_sched_delay=0,sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=30
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


class NoSlurmError(Exception):
    """No node can be started here. Its text is one line."""


def main(command: list[str]) -> int:
    """Run the command beside a node. Returns its exit code, or 0 where there can be none."""
    try:
        install()
        with node() as environment:
            return subprocess.run(command or list(TESTS), cwd=ROOT, env=environment, check=False).returncode
    except NoSlurmError as error:
        print(f"the tests of Slurm are skipped: {error}", file=sys.stderr)
        return 0


def install() -> None:
    """Install what is missing.

    Raises:
        NoSlurmError: it is not possible.
    """
    if os.geteuid() != 0:
        raise NoSlurmError("a node is started by root, and this is another user")
    if missing():
        if shutil.which("apt-get") is None:
            raise NoSlurmError(f"{', '.join(missing())} are missing, and there is no apt-get")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for words in (["update", "-qq"], ["install", "-qq", "-y", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", *words], env=quiet, stdout=subprocess.DEVNULL, check=False)
    if missing():
        raise NoSlurmError(f"apt-get could not install {' and '.join(PACKAGES)}")


def missing() -> list[str]:
    """The programs that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


@contextmanager
def node() -> Iterator[Mapping[str, str]]:
    """A node. The value is the environment of commands for it.

    Raises:
        NoSlurmError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="slurm_") as place:
        folder, host = Path(place), socket.gethostname().partition(".")[0]
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        ports = free_ports(2)
        text = CONFIGURATION.format(host=host, folder=folder, controller_port=ports[0], node_port=ports[1], cpus=CPUS)
        (folder / "slurm.conf").write_text(text)
        key = folder / "munge.key"
        key.write_bytes(secrets.token_bytes(1024))
        key.chmod(0o600)
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), MARK: str(folder)}
        try:
            start_all(folder, host, environment)
            yield environment
        finally:
            subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True, check=False)
            for name in ("slurmd", "slurmctld", "munged"):
                end(folder / f"{name}.pid")


def start_all(folder: Path, host: str, environment: Mapping[str, str]) -> None:
    """Start the three daemons, and wait until the node is idle.

    Raises:
        NoSlurmError: names the daemon that failed, or the last lines of its log.
    """
    files = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munged.pid"}
    files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
    for daemon in (
        ["munged", "--force", *(f"--{key}={folder / name}" for key, name in files.items())],
        ["slurmctld"],
        ["slurmd", "-N", host],
    ):
        done = subprocess.run(daemon, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise NoSlurmError(f"{daemon[0]} does not start: {' '.join(done.stderr.split())[-300:]}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        sinfo = ["sinfo", "--noheader", "--format=%T"]
        if (
            subprocess.run(sinfo, env=environment, capture_output=True, text=True, check=False).stdout.strip()
            == "idle"
        ):
            return
        time.sleep(0.2)
    said = (folder / "slurmd.log").read_text().splitlines()[-1:]
    raise NoSlurmError(f"the node is not idle after {PATIENCE_SECONDS:g} s: {' '.join(said)}")


def end(pid_file: Path) -> None:
    """End a daemon by its file, and wait for it. One that does not end is killed."""
    try:
        process = int(pid_file.read_text())
        os.kill(process, 15)
        for _ in range(100):
            time.sleep(0.1)
            os.kill(process, 0)
        os.kill(process, 9)
    except (OSError, ValueError):  # it has ended
        return


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nothing listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
