from __future__ import annotations

import os
import signal
import sys
import time
from concurrent.futures import Future

import pytest

from modelshelf.errors import PluginTimeoutError
from modelshelf.scan.worker_pool import WorkerFailedError, WorkerPool


def double(data: bytes) -> bytes:
    return data + data


def pid(_: bytes) -> bytes:
    return str(os.getpid()).encode()


def die(_: bytes) -> bytes:
    os.kill(os.getpid(), signal.SIGKILL)
    return b""


def fail(_: bytes) -> bytes:
    raise ValueError("no")


def quit_(_: bytes) -> bytes:
    sys.exit(3)


def sleep(data: bytes) -> bytes:
    time.sleep(float(data))
    return b"woke"


def chatter(data: bytes) -> bytes:
    print("noise on standard output", flush=True)  # noqa: T201 - the noise that is meant
    return data


@pytest.fixture
def pool() -> object:
    made = WorkerPool(1, timeout=20)
    yield made
    made.shutdown(cancel_futures=True)


def test_calls_come_back_in_their_own_process(pool: WorkerPool) -> None:
    futures: list[Future[bytes]] = [pool.submit(double, bytes([n]) * n) for n in range(50)]
    assert [future.result(20) for future in futures] == [bytes([n]) * n * 2 for n in range(50)]
    assert int(pool.submit(pid, b"").result(20)) != os.getpid()


def test_megabytes_pass_both_ways(pool: WorkerPool) -> None:
    data = os.urandom(5_000_000)
    assert pool.submit(double, data).result(30) == data + data


def test_what_a_function_raises_is_reported_and_the_worker_goes_on(pool: WorkerPool) -> None:
    before = pool.submit(pid, b"").result(20)
    for broken in (fail, quit_):
        with pytest.raises(WorkerFailedError, match=r"ValueError: no|SystemExit: 3"):
            pool.submit(broken, b"").result(20)
    assert pool.submit(pid, b"").result(20) == before


def test_a_worker_that_dies_costs_its_own_call_only(pool: WorkerPool) -> None:
    broken, fine = pool.submit(die, b""), pool.submit(double, b"a")
    with pytest.raises(WorkerFailedError, match="ended without an answer"):
        broken.result(20)
    assert fine.result(20) == b"aa"


def test_a_call_past_its_time_is_ended_and_named() -> None:
    pool = WorkerPool(1, timeout=4.0)  # a worker starts within it, however busy the machine is
    try:
        with pytest.raises(PluginTimeoutError, match="ran past"):
            pool.submit(sleep, b"600").result(30)
        assert pool.submit(double, b"a").result(30) == b"aa"
    finally:
        pool.shutdown(cancel_futures=True)


def test_what_a_plugin_prints_is_not_taken_for_an_answer(pool: WorkerPool) -> None:
    assert pool.submit(chatter, b"x").result(20) == b"x"


def test_a_pool_that_was_shut_down_takes_no_calls(pool: WorkerPool) -> None:
    pool.shutdown()
    with pytest.raises(RuntimeError, match="shut down"):
        pool.submit(double, b"")
