"""How many cores a process may use, how busy others keep them, and the threads that a run computes with."""

import doctest
import os
import subprocess
import sys

import pytest
from command import ROOT

from vae.training import cores
from vae.training.cores import Reading, busy_with_others, cgroup_cores, choose_threads, read_load, usable_cores

STAT = """\
cpu  1000 100 300 50000 20 30 40 50 500 0
cpu0 700 60 200 25000 10 20 20 30 400 0
cpu1 200 30 60 25000 10 10 20 10 100 0
cpu10 100 10 40 25000 0 0 0 10 0 0
intr 5 5
"""


@pytest.fixture
def cgroup(tmp_path):
    """A function that writes /proc/self/cgroup and files of limits, and returns the cores of the cgroup."""

    def cores_of(lines: str, **limits: str) -> float | None:
        (tmp_path / "cgroup").write_text(lines)
        for name, text in limits.items():
            path = tmp_path / "fs" / name.replace("__", "/").replace("_DOT_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return cgroup_cores(tmp_path / "cgroup", tmp_path / "fs")

    return cores_of


def test_the_examples_are_true():
    assert doctest.testmod(cores).failed == 0


# Cores


@pytest.mark.parametrize(
    ("limits", "found"),
    [
        ({"a__b__cpu_DOT_max": "150000 100000\n"}, 1.5),
        ({"a__b__cpu_DOT_max": "max 100000\n"}, None),
        ({"a__b__cpu_DOT_max": "400000 100000", "a__cpu_DOT_max": "100000 50000"}, 2.0),  # of the one above
        ({"cpu_DOT_max": "50000 100000"}, 0.5),  # in a container that shows the path on its host
        ({"a__b__cpu_DOT_max": "many"}, None),
        ({}, None),
    ],
)
def test_version_2_of_cgroups_limits_the_cores(cgroup, limits, found):
    assert cgroup("0::/a/b\n", **limits) == found


@pytest.mark.parametrize("mount", ["cpu", "cpu,cpuacct"])
@pytest.mark.parametrize(("quota", "found"), [("300000\n", 3.0), ("-1\n", None)])
def test_version_1_of_cgroups_limits_the_cores(cgroup, mount, quota, found):
    files = {f"{mount}__x__cpu_DOT_cfs_quota_us": quota, f"{mount}__x__cpu_DOT_cfs_period_us": "100000\n"}
    assert cgroup("9:pids:/x\n4:cpu,cpuacct:/x\n0::/\n", **files) == found


def test_without_cgroups_there_is_no_limit(tmp_path):
    assert cgroup_cores(tmp_path / "none", tmp_path) is None


@pytest.mark.parametrize(("limit", "usable"), [(None, 4), (2.9, 2), (0.5, 1), (16.0, 4)])
def test_the_usable_cores_are_those_of_the_affinity_and_within_the_limit(monkeypatch, limit, usable):
    monkeypatch.setattr(cores, "allowed_cores", lambda: {0, 1, 5, 6})
    monkeypatch.setattr(cores, "cgroup_cores", lambda: limit)
    assert usable_cores() == usable


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_process_on_one_core_counts_one():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    program += "from vae.training.cores import usable_cores; print(usable_cores())"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"


# Load


def test_the_work_of_the_allowed_cores_is_read_without_waiting_for_disks_and_guests(tmp_path):
    (tmp_path / "stat").write_text(STAT)
    second = os.sysconf("SC_CLK_TCK")
    assert read_load(tmp_path / "stat", {1}).worked * second == pytest.approx(200 + 30 + 60 + 10 + 20 + 10)
    assert read_load(tmp_path / "stat", {1, 10}).worked * second == pytest.approx(330 + 160)


@pytest.mark.parametrize("text", [None, "cpu0 1 x\n", "cpu0 1 2\n"])
def test_a_system_that_does_not_tell_its_load_has_none(tmp_path, text):
    if text is not None:
        (tmp_path / "stat").write_text(text)
    assert read_load(tmp_path / "stat", {0}) is None


def test_others_keep_busy_what_is_not_our_own():
    assert busy_with_others(Reading(10.0, 100.0, 5.0), Reading(12.0, 103.0, 6.0)) == 1.0
    assert (
        busy_with_others(Reading(10.0, 100.0, 5.0), Reading(12.0, 101.0, 7.0)) == 0.0
    )  # the kernel counts in coarse steps
    assert busy_with_others(Reading(10.0, 100.0, 5.0), Reading(10.01, 101.0, 5.0)) is None
    assert busy_with_others(None, Reading(0.0, 0.0, 0.0)) is None


# Threads


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"asked": 3, "default": 2, "before": 1}, "3 threads"),
        ({"asked": None, "default": 2}, "2 threads"),
        ({"asked": None, "default": 4, "before": 4}, "4 threads"),
        ({"asked": None, "default": 4, "before": 1}, "1 thread as before"),
        ({"asked": None, "default": 4, "before": 9}, "4 threads on 4 cores, 9 before"),
        ({"asked": None, "default": 8}, "4 threads for the 4 cores of the container"),
        ({"asked": None, "default": 8, "usable": 1}, "1 thread for the core of the container"),
        (
            {"asked": None, "default": 1, "before": 4, "environment": {"OMP_NUM_THREADS": "1"}},
            "1 thread by OMP_NUM_THREADS",
        ),
        ({"asked": 2, "default": 1, "environment": {"OMP_NUM_THREADS": "1"}}, "2 threads"),
        ({"asked": None, "default": 8, "environment": {"MKL_NUM_THREADS": "8"}}, "8 threads by MKL_NUM_THREADS"),
    ],
)
def test_threads_are_as_asked_or_as_before_or_all_that_may_be_used(arguments, said):
    assert str(choose_threads(**{"environment": {}, "usable": 4} | arguments)) == said
