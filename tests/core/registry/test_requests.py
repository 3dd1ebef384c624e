"""What a server calls for each request imports nothing, so that a fork meanwhile hangs nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modelshelf import HealthStatus, ModelConfig, ModelMetadata, ModelRegistry
from tests.distributions import write_distribution

REQUESTS = {
    "get": "registry.get('one')",
    "get of nobody": "registry.get('nobody')",
    "get by alias": "registry.get('alias')",
    "get of a long name": "registry.get('x' * 1000)",
    "get_by_version": "registry.get_by_version('one', '1.0.0')",
    "get_versions": "registry.get_versions('one')",
    "default": "registry.default()",
    "list_models": "registry.list_models()",
    "get_healthy_models": "registry.get_healthy_models()",
    "check_health": "registry.check_health()",
    "find": "registry.find(Query(format='gguf', tag='chat', health='healthy'))",
    "find in order": "registry.find(Query(sort='version', min_parameters=1, all_versions=True))",
    "select_best": "registry.select_best('complex')",
    "select_best by a query": "registry.select_best('simple', query=Query(text='one'))",
    "mark_used": "registry.mark_used('one')",
    "update_health_status": "registry.update_health_status('one', 'loading')",
    "to_json": "registry.to_json()",
    "to_json strict": "registry.to_json(strict=True)",
    "iteration": "list(registry)",
}

CALL = """
import io, json, logging, sys
from modelshelf import ModelRegistry, Query

class Finder:
    def find_spec(self, name, *_):
        asked.append(name)

asked = []
logging.basicConfig(level=logging.DEBUG, stream=io.StringIO())
with ModelRegistry(sys.argv[1], sys.argv[1]) as registry:
    call = compile(sys.argv[2], "call", "eval")
    sys.meta_path.insert(0, Finder())
    before = set(sys.modules)
    eval(call)
    added = sorted(set(sys.modules) - before)
sys.meta_path.pop(0)
print(json.dumps([asked, added]))
"""

# Whatever is imported while the thread is at its first use takes so long that the fork comes in its middle.
FORK = """
import os, signal, sys, threading, time
from modelshelf import ModelRegistry

class SlowFinder:
    def find_spec(self, *_):
        time.sleep(0.5)

with ModelRegistry(sys.argv[1], sys.argv[1]) as registry:
    sys.meta_path.insert(0, SlowFinder())
    thread = threading.Thread(target=lambda: [registry.mark_used("one") for _ in range(20)])
    thread.start()
    time.sleep(float(sys.argv[2]))
    child = os.fork()
    if not child:
        signal.alarm(15)
        registry.mark_used("one")
        registry.update_health_status("one", "healthy")
        assert registry.get("one").use_count and registry.select_best().id == "one"
        assert registry.to_json() and registry.list_models() == ["one"]
        os._exit(0)
    thread.join()
    _, status = os.waitpid(child, 0)
    registry.mark_used("one")
    assert registry.get("one").use_count == 22
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of one healthy model."""
    folder = tmp_path_factory.mktemp("store")
    fill(folder)
    return folder


def fill(folder: Path) -> None:
    model = ModelConfig(
        id="one",
        aliases=("alias",),
        metadata=ModelMetadata(format="gguf", parameters=7, tags=("chat",)),
        health_status=HealthStatus.HEALTHY,
    )
    with ModelRegistry(folder, folder) as registry:
        registry.register(model)


@pytest.mark.parametrize("call", REQUESTS.values(), ids=REQUESTS)
def test_the_first_call_of_a_request_imports_nothing(store: Path, call: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CALL, store, call], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == [[], []]


def test_neither_does_a_change_that_a_plugin_observes(store: Path, tmp_path: Path) -> None:
    source = """
        def modelshelf_model_changed(event):
            seen.append(event.kind.value)

        seen = []
    """
    write_distribution(tmp_path, "watchful-plugin", source)
    call = "[registry.update_health_status('one', 'degraded'), sys.modules['watchful_plugin'].seen][1]"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            CALL.replace("eval(call)", "assert eval(call) == ['health changed']"),
            store,
            call,
        ],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [[], []]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("delay", [0, 0.002, 0.01, 0.05])
def test_a_child_that_is_forked_during_a_first_use_works(tmp_path: Path, delay: float) -> None:
    fill(tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, tmp_path, str(delay)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
