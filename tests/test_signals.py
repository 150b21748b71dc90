"""Signals: a flag that is read between two steps, an exception inside `at_once`."""

import logging
import os
import signal

import pytest
from tqdm.contrib.logging import logging_redirect_tqdm

from vae.run.signals import SIGNALS, StopNow, StopRequest


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_a_wish_and_a_later_one_ends_the_process(number, monkeypatch):
    before = signal.getsignal(number)
    monkeypatch.setattr("vae.run.signals.ONE_REQUEST_SECONDS", 600.0)
    with StopRequest() as stop:
        assert (stop(), stop.exit_code) == (False, 0)
        os.kill(os.getpid(), number)
        assert (stop(), stop.exit_code) == (True, 128 + number)
        os.kill(os.getpid(), number)  # at once: Slurm signals a sweep and its member, and the sweep its member too
        assert (stop(), stop.exit_code) == (True, 128 + number)
        monkeypatch.setattr("vae.run.signals.ONE_REQUEST_SECONDS", 0.0)
        with pytest.raises(SystemExit) as ended:
            os.kill(os.getpid(), number)
        assert ended.value.code == 128 + number
    assert signal.getsignal(number) == before


def swallowing(stop, reached):
    with stop.at_once():
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except Exception:
            reached.append("swallowed")
        reached.append("after")


def test_where_it_need_not_wait_a_signal_is_an_exception_that_no_library_catches():
    reached = []
    with StopRequest() as stop:
        with stop.at_once():
            reached.append("quiet")
        with pytest.raises(StopNow) as caught:
            swallowing(stop, reached)
        assert caught.value.code == 143  # were it to end the process
        assert stop()
        with pytest.raises(StopNow), stop.at_once():  # it came before
            reached.append("inside")
    assert reached == ["quiet"]


def test_it_passes_through_the_handler_of_log_records(capsys):
    class Interrupting:
        def __str__(self):
            os.kill(os.getpid(), signal.SIGTERM)
            return "a line"

    log = logging.getLogger("vae.test_signals")
    with logging_redirect_tqdm([log]), StopRequest() as stop, pytest.raises(StopNow), stop.at_once():
        log.warning("%s", Interrupting())
    assert "Traceback" not in capsys.readouterr().err


def test_after_it_a_signal_waits_again():
    with StopRequest() as stop:
        with stop.at_once():
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.exit_code == 143
