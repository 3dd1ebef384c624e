"""Small real distributions: a module and its ``.dist-info``, as an installer leaves them in a folder."""

from __future__ import annotations

import textwrap
from pathlib import Path


def write_distribution(
    site: Path,
    name: str,
    source: str,
    *,
    entry: str | None = None,
    version: str = "0.3.0",
    entry_points: str | None = None,
) -> str:
    """Put a distribution of one module into the folder `site` and give the module's name.

    Args:
        site: A folder on the import path.
        name: The distribution's name; the module is named like it, with underscores.
        source: The module's text.
        entry: Name of its entry point in group ``modelshelf``; the distribution's by default.
        version: The distribution's version.
        entry_points: The whole text of ``entry_points.txt``, where it is to be something else.
    """
    module = name.replace("-", "_")
    (site / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
    if entry_points is None:
        entry_points = f"[modelshelf]\n{entry or name} = {module}\n"
    metadata = site / f"{module}-{version}.dist-info"
    metadata.mkdir()
    texts = {
        "METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        "entry_points.txt": entry_points,
        "INSTALLER": "tests\n",
    }
    for file, text in texts.items():
        (metadata / file).write_text(text, encoding="utf-8")
    files_of_it = [f"{module}.py", *(f"{metadata.name}/{file}" for file in (*texts, "RECORD"))]
    (metadata / "RECORD").write_text("".join(f"{file},,\n" for file in files_of_it), encoding="utf-8")
    return module
