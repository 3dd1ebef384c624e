"""The shape of the house: which file imports which. Type-only imports count: a reader follows them too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = {"core": ROOT / "core", "plugins": ROOT / "plugins"}


def modules(root: Path) -> dict[str, Path]:
    """Every module below a source root by its dotted name; a package goes by its folder's."""
    found = {}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, module_names: set[str]) -> set[str]:
    """The known modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in module_names else node.module for name in inner}
    return found & module_names


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Groups of modules of which each is reached from each other one (Tarjan's components), sorted."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    path: list[str] = []
    found = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        path.append(module)
        for other in sorted(graph[module]):
            if other not in order:
                visit(other)
            if other in path:
                lowest[module] = min(lowest[module], lowest[other])
        if lowest[module] == order[module]:
            component = path[path.index(module) :]
            del path[path.index(module) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in sorted(graph):
        if module not in order:
            visit(module)
    return sorted(found)


def graph_of(*roots: Path) -> dict[str, set[str]]:
    paths = {name: path for root in roots for name, path in modules(root).items()}
    module_names = set(paths)
    return {name: imports(path, module_names) - {name} for name, path in paths.items()}


def test_no_files_import_each_other_in_a_circle() -> None:
    graph = graph_of(*SOURCES.values())
    assert len(graph) > 100
    assert sum(map(len, graph.values())) > 500
    assert circles(graph) == []


@pytest.mark.parametrize("line", ["import house.b", "from house import b", "from house.b import thing"])
@pytest.mark.parametrize("where", ["{}", "def f():\n    {}", "if TYPE_CHECKING:\n    {}"])
def test_a_circle_is_found_however_the_import_is_written(tmp_path: Path, line: str, where: str) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").touch()
    (tmp_path / "house" / "a.py").write_text(where.format(line))
    (tmp_path / "house" / "b.py").write_text("from house.c import thing")
    (tmp_path / "house" / "c.py").write_text("from house.a import other")
    assert circles(graph_of(tmp_path)) == [["house.a", "house.b", "house.c"]]


def test_no_module_is_a_drawer_for_what_has_no_place() -> None:
    names = {name.rpartition(".")[2] for root in SOURCES.values() for name in modules(root)}
    assert not names & {"utils", "util", "helpers", "manager", "common", "misc"}
