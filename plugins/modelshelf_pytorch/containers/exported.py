"""Programs of torch.export (``.pt2``): the weights' headers, which are JSON there and no pickle.

Source: ``torch/export/pt2_archive/_package.py`` and ``torch/_export/serde/schema.py`` (2.13): for each model
``data/weights/NAME_weights_config.json`` with ``{"config": {weight: {"path_name", "use_pickle",
"tensor_meta": {"dtype", "sizes", "strides", "storage_offset", …}}}}``, each weight's bytes in
``data/weights/PATH_NAME``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf_pytorch.pickle.allowlist import ITEM_BYTES
from modelshelf_pytorch.pickle.rebuild import LARGEST, BadArgumentsError, reach, sizes
from modelshelf_pytorch.pickle.symbols import Storage, Tensor
from modelshelf_pytorch.tensors import Contents, NamedTensor
from modelshelf_pytorch.verdict import Issue, unreadable
from modelshelf_pytorch.zip import read as zipread

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zip.directory import Directory, Member

SCALAR_TYPES: dict[int, str] = {
    **dict(enumerate(("U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64", "C32", "C64", "C128"), start=1)),
    **dict(enumerate(("BOOL", "BF16"), start=12)),
    **dict(enumerate(("U16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"), start=28)),
    **dict(enumerate(("U32", "U64"), start=34)),
}
"""Element types by their number in the schema."""

_ENDING = "_weights_config.json"
_LARGEST_CONFIG = 64 * 1024 * 1024


def configs_of(directory: Directory, root: str) -> list[Member]:
    """The members that describe weights; none in an archive of another kind."""
    folder = f"{root}data/weights/"
    return [
        directory.member(place)
        for place, name in enumerate(directory.names)
        if name.startswith(folder) and name.endswith(_ENDING)
    ]


def read(
    reader: FileReader, directory: Directory, root: str, configs: list[Member]
) -> tuple[Contents, list[Issue]]:
    """The weights' headers, and where they disagree with the archive."""
    found: list[NamedTensor] = []
    issues: list[Issue] = []
    for config in configs:
        try:
            weights = _weights(reader, config)
        except (ReadError, ValueError, RecursionError) as error:
            message = f"the weights' list {config.name!r} cannot be read: {error}"
            issues.append(unreadable("bad-record", message, config.header))
            continue
        for name, told in weights.items():
            try:
                tensor = _tensor(told)
            except (BadArgumentsError, KeyError, TypeError) as error:
                message = f"the weight {name!r} in {config.name!r} is described wrongly: {error}"
                issues.append(unreadable("bad-record", message, config.header))
                continue
            found.append(NamedTensor(name=name, tensor=tensor))
            issues += _misfits(name, tensor, directory, f"{root}data/weights/", told, config)
    return Contents(all=tuple(found), model=tuple(found)), issues


def _weights(reader: FileReader, config: Member) -> dict[str, Any]:
    if config.size > _LARGEST_CONFIG:
        raise ValueError(f"it has {config.size} bytes")
    told = json.loads(zipread.content(reader, config, _LARGEST_CONFIG).decode("utf-8"))
    weights = told.get("config") if isinstance(told, dict) else None
    if not isinstance(weights, dict):
        raise ValueError("it has no config")  # noqa: TRY004  # the file's fault, not a caller's
    return weights


def _tensor(told: dict[str, Any]) -> Tensor:
    """One weight's header.

    Raises:
        BadArgumentsError: A size or stride is none.
        KeyError: Something is missing, or the element type unknown.
        TypeError: Something is of another type.
    """
    meta = told["tensor_meta"]
    shape = sizes(tuple(one["as_int"] for one in meta["sizes"]), "shape")
    stride = sizes(tuple(one["as_int"] for one in meta["strides"]), "stride")
    (start,) = sizes((meta["storage_offset"]["as_int"],), "storage offset")
    if len(shape) != len(stride):
        raise BadArgumentsError("a shape and a stride of different lengths")
    dtype = SCALAR_TYPES[meta["dtype"]]
    elements = reach(start, shape, stride)
    if elements * ITEM_BYTES[dtype] >= LARGEST:
        raise BadArgumentsError("a shape that overflows")
    storage = Storage(dtype, str(told["path_name"]), "cpu", elements, 0)
    return Tensor(dtype, shape, stride, storage, start)


def _misfits(
    name: str, tensor: Tensor, directory: Directory, folder: str, told: dict[str, Any], config: Member
) -> list[Issue]:
    """The weight's member must be there, and long enough; a pickled one tells its own length."""
    assert tensor.storage is not None  # noqa: S101  # as it was just made
    member = directory.find(folder + tensor.storage.key)
    needed = tensor.storage.elements * ITEM_BYTES[tensor.dtype]
    if member is not None and (told.get("use_pickle") or member.size >= needed):
        return []
    held = "is not in the archive" if member is None else f"holds {member.size} bytes of {needed}"
    message = f"the weight {name!r} lies in {folder}{tensor.storage.key}, which {held}"
    return [unreadable("storage-size-mismatch", message, config.header)]
