from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from modelshelf.model import Depth, Finding, Severity
from modelshelf.plugin.call import PluginSet
from modelshelf.plugin.given import given
from modelshelf.plugin.limit import HookTimeout, HookTimer
from modelshelf.plugin.load import load

pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no interval timers here")

LONG, SHORT = 600.0, 0.02  # seconds
FINDING = Finding(code="odd-size", severity=Severity.INFO, message="the size is odd")


@pytest.fixture(autouse=True)
def unused_alarm() -> Iterator[None]:
    """The process leaves SIGALRM alone, which the test runner does not."""
    left, _ = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, left)


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
    handlers = []

    def in_thread() -> None:
        with HookTimer(LONG) as timer:
            timer.begin()
            handlers.append(signal.getsignal(signal.SIGALRM))
            timer.end()

    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGALRM)]


def test_a_hook_of_another_thread_is_not_ended_in_its_place() -> None:
    with HookTimer(SHORT) as timer:
        thread = threading.Thread(target=timer.begin)
        thread.start()
        thread.join()
        until = time.monotonic() + 3 * SHORT
        while time.monotonic() < until:
            ring()


def test_where_the_program_has_its_own_alarm_handler_a_loop_is_ended_all_the_same() -> None:
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    try:
        with HookTimer(SHORT) as timer:
            assert signal.getsignal(signal.SIGALRM) is not before
            for _ in range(3):
                timer.begin()
                with pytest.raises(HookTimeout, match=r"ran past its 0\.02 s and was ended"):
                    work_without_end()
                timer.end()
    finally:
        signal.signal(signal.SIGALRM, before)


def in_thread(work: Callable[[], None]) -> None:
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - the test's own thread raises it again
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert failed == []


def test_in_another_thread_a_loop_is_ended() -> None:
    def work() -> None:
        with HookTimer(SHORT) as timer:
            timer.begin()
            with pytest.raises(HookTimeout, match=r"ran past its 0\.02 s and was ended"):
                work_without_end()
            timer.end()

    in_thread(work)


def test_a_hook_that_is_done_as_its_time_ends_is_not_followed_by_an_error() -> None:
    def work() -> None:
        with HookTimer(0.001) as timer:
            until = time.monotonic() + 0.5
            while time.monotonic() < until:
                try:
                    try:
                        timer.begin()
                        busy = time.monotonic() + 0.001
                        while time.monotonic() < busy:
                            pass
                    finally:
                        timer.end()
                except HookTimeout:
                    pass

    in_thread(work)


@pytest.mark.parametrize("threaded", [False, True])
def test_a_hook_that_goes_on_reading_has_its_time_again(threaded: bool) -> None:
    def work() -> None:
        with HookTimer(0.1) as timer:
            reached = iter(range(1_000_000))
            timer.begin(lambda: next(reached))
            until = time.monotonic() + 0.4
            while time.monotonic() < until:
                pass
            timer.end()
            timer.begin(lambda: 7)
            with pytest.raises(HookTimeout):
                work_without_end()
            timer.end()

    in_thread(work) if threaded else work()


class Endless:
    def modelshelf_probe_health(self) -> None:
        work_without_end()


class Sound:
    def modelshelf_probe_health(self) -> Finding:
        return FINDING


class Reader:
    bytes_read = 7


@pytest.mark.parametrize("depth", list(Depth))
def test_a_hook_past_its_time_costs_its_own_contribution_only(depth: Depth) -> None:
    plugins = PluginSet(load(given([Endless(), Sound()])), timer=HookTimer(SHORT))
    with plugins.limit():
        outcomes = list(plugins.call("modelshelf_probe_health", depth=depth, reader=Reader()))
    assert [len(one.results) for one in outcomes] == [0, 1]
    assert [one.reason for one in plugins.failures] == ["HookTimeout: ran past its 0.02 s and was ended"]
