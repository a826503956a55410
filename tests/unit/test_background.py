"""Threads of low priority: what is made in the background computes there, and its maker does not."""

import os
import sys
import threading

import pytest

from osler.engines.background import LOWER, in_background

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads have their own priority on Linux only")


def priority() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_what_is_made_there_and_the_threads_that_it_starts_have_low_priority_and_the_caller_keeps_his() -> None:
    before, started = priority(), []

    def make() -> int:
        thread = threading.Thread(target=lambda: started.append(priority()))
        thread.start()
        thread.join()
        return priority()

    assert in_background(make) == min(19, before + LOWER)
    assert started == [min(19, before + LOWER)]
    assert priority() == before


def test_what_goes_wrong_there_is_raised_here() -> None:
    def fail() -> None:
        raise ValueError("no such model")

    with pytest.raises(ValueError, match="no such model"):
        in_background(fail)


def test_where_priorities_may_not_be_set_it_is_made_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: int) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "setpriority", forbidden)
    assert in_background(priority) == priority()
