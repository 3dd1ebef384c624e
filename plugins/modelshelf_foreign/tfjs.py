"""Which files are the weights of a TensorFlow.js model: the JSON beside them names them in their order.

Sources: ``io/types.ts`` and ``io/weights_loader.ts`` of tfjs-core. A model is a ``model.json`` with the
topology and a ``weightsManifest``, or the manifest alone, in a file of its own.
"""

from __future__ import annotations

import json
import re

from modelshelf_foreign.neighbours import names_in, read_beside

_LARGEST = 16 << 20  # bytes; topologies of many thousand layers have a few MB
_MODEL, _MANIFEST = "model.json", "weights_manifest.json"
_SHARD = re.compile(r"(?i).+[-_.]shard\d+(?:of\d+)?(?:\.bin)?")


def shards(folder: str, name: str) -> tuple[str, ...]:
    """Return the weight files of the model that a file belongs to, in their order; none otherwise."""
    if _SHARD.fullmatch(name) is None and not name.lower().endswith(".bin"):
        return ()
    names = names_in(folder)
    for description in sorted(one for one in names if one == _MODEL or one.endswith(_MANIFEST)):
        text = read_beside(folder, description, _LARGEST)
        paths = _paths(text) if description.endswith(_MANIFEST) or b'"weightsManifest"' in text else ()
        if paths and name in paths:
            return paths
        if paths is None and _SHARD.fullmatch(name):
            return tuple(sorted(one for one in names if _SHARD.fullmatch(one)))
    return ()


def _paths(text: bytes) -> tuple[str, ...] | None:
    """Return the paths that a manifest names; None where it cannot be read."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    groups = content.get("weightsManifest") if isinstance(content, dict) else content
    if not isinstance(groups, list):
        return None
    paths: list[str] = []
    for group in groups:
        named = group.get("paths") if isinstance(group, dict) else None
        paths += [one for one in named if isinstance(one, str)] if isinstance(named, list) else []
    return tuple(paths) or None
