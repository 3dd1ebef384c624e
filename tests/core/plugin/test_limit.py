from __future__ import annotations

import signal
import threading
import time

import pytest

from modelshelf.model import Depth, Finding, Severity
from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.given import given
from modelshelf.plugin.limit import HookTimeout, HookTimer
from modelshelf.plugin.load import load

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")

LONG, SHORT = 600.0, 0.02  # seconds
FINDING = Finding(code="odd-size", severity=Severity.INFO, message="the size is odd")


def work_without_end() -> None:
    for _ in iter(int, 1):
        threading.Event().is_set()


def ring() -> None:
    signal.raise_signal(signal.SIGALRM)


def test_each_hook_that_does_not_end_is_ended() -> None:
    with HookTimer(SHORT) as timer:
        for _ in range(3):
            timer.begin()
            with pytest.raises(HookTimeout, match=r"ran past its 0\.02 s and was ended"):
                work_without_end()
            timer.end()


def test_a_hook_that_begins_between_two_rings_has_its_whole_time() -> None:
    with HookTimer(LONG) as timer:
        timer.begin()
        ring()
        left, _ = signal.getitimer(signal.ITIMER_REAL)
        assert 0 < left < LONG
        timer.end()


def test_between_two_hooks_nothing_is_ended_and_the_timer_goes_on() -> None:
    with HookTimer(LONG) as timer:
        timer.begin()
        timer.end()
        signal.setitimer(signal.ITIMER_REAL, 0)
        ring()
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 0


def test_the_programs_own_alarm_handler_is_there_again_afterwards() -> None:
    heard = []
    before = signal.signal(signal.SIGALRM, lambda *_: heard.append("mine"))
    try:
        with HookTimer(LONG):
            assert signal.getsignal(signal.SIGALRM) is not before
        ring()
        assert (heard, signal.getitimer(signal.ITIMER_REAL)) == (["mine"], (0.0, 0.0))
    finally:
        signal.signal(signal.SIGALRM, before)


def test_in_another_thread_no_handler_is_touched() -> None:
    seen = []

    def in_thread() -> None:
        with HookTimer(LONG) as timer:
            timer.begin()
            seen.append(signal.getsignal(signal.SIGALRM))
            timer.end()

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGALRM)]


def test_a_hook_of_another_thread_is_not_ended_in_its_place() -> None:
    with HookTimer(SHORT) as timer:
        thread = threading.Thread(target=timer.begin)
        thread.start()
        thread.join()
        until = time.monotonic() + 3 * SHORT
        while time.monotonic() < until:
            ring()


class Endless:
    def modelshelf_probe_health(self, depth: Depth) -> None:
        if depth is Depth.HEADER:
            work_without_end()
        else:
            time.sleep(SHORT)
            ring()


class Sound:
    def modelshelf_probe_health(self) -> Finding:
        return FINDING


def called(depth: Depth) -> tuple[list[int], list[str]]:
    timer = HookTimer(SHORT)
    plugins = PluginSet(load(given([Endless(), Sound()])), timer=timer)
    with timer:
        outcomes = list(plugins.call("modelshelf_probe_health", depth=depth))
    return [len(one.results) for one in outcomes], [one.reason for one in plugins.failures]


def test_a_hook_past_its_time_costs_its_own_contribution_only() -> None:
    assert called(Depth.HEADER) == ([0, 1], ["HookTimeout: ran past its 0.02 s and was ended"])


def test_reading_every_byte_has_no_limit() -> None:
    assert called(Depth.FULL) == ([0, 1], [])
