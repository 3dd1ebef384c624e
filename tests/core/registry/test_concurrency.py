"""What the class says of threads, forks, processes and asyncio."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelConfig, ModelMetadata, ModelRegistry
from modelshelf.registry.cache import collector_paused
from tests.core.toy import BUILTIN_FORMATS, ToyFormat, write_toy

USES = 25
pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # is multi-threaded


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[ModelRegistry]:
    with ModelRegistry(
        tmp_path / "models", tmp_path / "data", plugins=[ToyFormat()], blocked=BUILTIN_FORMATS
    ) as opened:
        for name in "abcd":
            opened.register(
                ModelConfig(
                    id=name,
                    metadata=ModelMetadata(parameters=ord(name)),
                    health_status=HealthStatus.HEALTHY,
                )
            )
        yield opened


def look_up(registry: ModelRegistry) -> None:
    """Every look-up, each of which has to give what one committed state holds."""
    assert registry.list_models() == ["a", "b", "c", "d"]
    assert registry.get("a").id == "a"
    assert registry.get_by_version("b", "1.0.0").id == "b"
    assert registry.default().id == "a"
    assert set(registry.get_healthy_models()) >= {"a", "b", "c"}
    assert registry.select_best("simple").id == "a"
    assert len(json.loads(registry.to_json())["data"]) == 4


def test_threads_share_a_registry_to_read_and_to_change(registry: ModelRegistry) -> None:
    stop = threading.Event()

    def read() -> int:
        rounds = 0
        while not stop.is_set():
            look_up(registry)
            rounds += 1
        return rounds

    def change(name: str) -> None:
        for number in range(USES):
            registry.mark_used(name)
            registry.update_health_status("d", ("healthy", "degraded")[number % 2])
            assert registry.get(name).use_count == number + 1  # what this thread committed it sees

    with ThreadPoolExecutor(8) as pool:
        readers = [pool.submit(read) for _ in range(4)]
        writers = [pool.submit(change, name) for name in "abc"]
        try:
            for one in writers:
                one.result()
        finally:
            stop.set()
        assert all(one.result() for one in readers)
    assert [registry.get(name).use_count for name in "abc"] == [USES] * 3


def test_threads_look_up_and_change_while_another_one_scans(registry: ModelRegistry, tmp_path: Path) -> None:
    for number in range(40):
        write_toy(tmp_path / "models" / f"toy-{number}" / "m.toy", context_length=number + 1)
    with ThreadPoolExecutor(2) as pool:
        scans = [pool.submit(registry.discover_models) for _ in range(2)]
        while not all(one.done() for one in scans):
            assert registry.get("a").id == "a"
            registry.mark_used("a")
        assert sum(one.result().models_added for one in scans) >= 40
    assert len(registry) == 44


def test_what_is_looked_up_twice_is_decoded_once_by_all_threads(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.get("a")
    registry.get_by_version("a", "1.0.0")
    registry.select_best("simple")

    def refuse(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("modelshelf.records.codec.decode_record", refuse)
    with ThreadPoolExecutor(4) as pool:
        for ask in (
            lambda: registry.get("a"),
            lambda: registry.get_by_version("a", "1.0.0"),
            lambda: registry.select_best("simple"),
            registry.default,
        ):
            assert {one.result().id for one in [pool.submit(ask) for _ in range(8)]} == {"a"}


def in_a_child(work: Callable[[], None]) -> int:
    """The exit code of a forked child that does some work."""
    child = os.fork()
    if not child:
        code = 1
        try:
            work()
            code = 0
        except BaseException:  # noqa: BLE001 - shown by the child, which ends here
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@forks
def test_child_and_parent_go_on_with_a_registry_after_a_fork(registry: ModelRegistry) -> None:
    look_up(registry)

    def work() -> None:
        look_up(registry)
        registry.mark_used("a")
        assert registry.get("a").use_count == 1

    assert in_a_child(work) == 0
    assert registry.get("a").use_count == 1  # what the child committed the parent sees
    registry.mark_used("a")
    assert in_a_child(work) == 1  # it finds three
    assert registry.get("a").use_count == 3
    look_up(registry)


@forks
def test_a_child_may_be_forked_while_other_threads_look_up_and_change(registry: ModelRegistry) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            look_up(registry)
            registry.mark_used("a")

    def work_of_a_child() -> None:
        look_up(registry)
        registry.mark_used("b")

    threads = [threading.Thread(target=work) for _ in range(2)]
    for one in threads:
        one.start()
    try:
        assert [in_a_child(work_of_a_child) for _ in range(10)] == [0] * 10
    finally:
        stop.set()
        for one in threads:
            one.join()
    assert registry.get("b").use_count == 10


@forks
def test_a_child_collects_garbage_though_a_thread_of_its_parent_had_that_paused() -> None:
    paused, done = threading.Event(), threading.Event()

    def pause() -> None:
        with collector_paused():
            paused.set()
            done.wait(30)

    thread = threading.Thread(target=pause)
    thread.start()
    paused.wait(30)
    assert not gc.isenabled()

    def work() -> None:
        assert gc.isenabled()
        with collector_paused():
            assert not gc.isenabled()
        assert gc.isenabled()

    try:
        assert in_a_child(work) == 0
    finally:
        done.set()
        thread.join()
    assert gc.isenabled()


USER = """
import sys
from modelshelf import ModelRegistry
with ModelRegistry(sys.argv[1], sys.argv[1]) as registry:
    for number in range(int(sys.argv[2])):
        registry.mark_used("a")
        registry.update(sys.argv[3], display_name=f"name {number}")
        assert registry.get(sys.argv[3]).display_name == f"name {number}"
"""


def test_processes_read_and_change_one_store_at_the_same_time(
    registry: ModelRegistry, tmp_path: Path
) -> None:
    programs = [
        subprocess.Popen([sys.executable, "-c", USER, tmp_path / "data", str(USES), name]) for name in "bc"
    ]
    counts = set()
    while any(one.poll() is None for one in programs):
        look_up(registry)
        registry.mark_used("a")
        counts.add(registry.get("b").display_name)
        time.sleep(0.001)
    assert [one.returncode for one in programs] == [0, 0]
    assert registry.get("b").display_name == registry.get("c").display_name == f"name {USES - 1}"
    assert len(counts) > 1  # while it went on, too
    assert registry.get("a").use_count >= 2 * USES + 1


def test_an_event_loop_looks_up_as_it_is_and_changes_in_threads(registry: ModelRegistry) -> None:
    async def request(name: str) -> str:
        model = registry.get(name)
        await asyncio.to_thread(registry.mark_used, model.id)
        return registry.get(name).id

    async def serve() -> list[str]:
        scan = asyncio.create_task(asyncio.to_thread(registry.discover_models))
        answers = await asyncio.gather(*(request(name) for name in "abcd" * 5))
        await scan
        return answers

    assert asyncio.run(serve()) == list("abcd" * 5)
    assert [registry.get(name).use_count for name in "abcd"] == [5] * 4
