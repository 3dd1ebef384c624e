"""Read programs of torch.export (``.pt2``): the weights' headers, which are JSON there and no pickle.

Source: ``torch/export/pt2_archive/_package.py`` and ``torch/_export/serde/schema.py`` (2.13): for each model
``data/weights/NAME_weights_config.json`` with ``{"config": {weight: {"path_name", "use_pickle",
"tensor_meta": {"dtype", "sizes", "strides", "storage_offset", …}}}}``, each weight's bytes in
``data/weights/PATH_NAME``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from modelshelf.errors import FormatError, ReadError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.pickle.allowlist import ITEM_BYTES
from modelshelf_pytorch.pickle.rebuild import LARGEST, BadArgumentsError, dimensions, storage_extent
from modelshelf_pytorch.pickle.symbols import Storage, Tensor
from modelshelf_pytorch.tensors import Contents, NamedTensor
from modelshelf_pytorch.verdict import Issue, issue_of, unreadable
from modelshelf_pytorch.zip.read import read_member

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.zip.directory import Directory, Member

SCALAR_TYPES: dict[int, str] = {
    **dict(enumerate(("U8", "I8", "I16", "I32", "I64", "F16", "F32", "F64", "C32", "C64", "C128"), start=1)),
    **dict(enumerate(("BOOL", "BF16"), start=12)),
    **dict(enumerate(("U16", "F8_E4M3", "F8_E5M2", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "F8_E8M0"), start=28)),
    **dict(enumerate(("U32", "U64"), start=34)),
}
"""Element types by their number in the schema (``ScalarType``)."""

_CONFIG_SUFFIX = "_weights_config.json"
_LARGEST_CONFIG = 64 * 1024 * 1024  # bytes


def configs_of(directory: Directory, root: str) -> list[Member]:
    """Return the members that list weights; none in an archive of another kind."""
    folder = f"{root}data/weights/"
    return [
        directory.member(number)
        for number, name in enumerate(directory.names)
        if name.startswith(folder) and name.endswith(_CONFIG_SUFFIX)
    ]


def read(
    reader: FileReader, directory: Directory, root: str, configs: list[Member]
) -> tuple[Contents, list[Issue], frozenset[int]]:
    """Read the weights' headers.

    Returns:
        The weights; where they disagree with the archive; the numbers of the members that hold bare weights.
    """
    tensors: list[NamedTensor] = []
    bare: set[str] = set()
    others: set[str] = set()  # names of members that some config calls pickles
    issues: list[Issue] = []
    folder = f"{root}data/weights/"
    for config in configs:
        try:
            weights = _read_config(reader, config)
        except ReadError as error:
            issues.append(issue_of(error, config.header_offset))
            continue
        except (ValueError, RecursionError) as error:
            message = f"the weights' list {config.name!r} cannot be read: {error}"
            issues.append(unreadable("bad-record", message, config.header_offset))
            continue
        for name, weight in weights.items():
            try:
                tensor = _tensor(weight)
            except (BadArgumentsError, KeyError, TypeError) as error:
                message = f"the weight {name!r} in {config.name!r} is described wrongly: {error}"
                issues.append(unreadable("bad-record", message, config.header_offset))
                continue
            tensors.append(NamedTensor(name=name, tensor=tensor))
            pickled = bool(weight.get("use_pickle"))
            issues += _member_issues(name, tensor, directory, folder, config, pickled=pickled)
            (others if pickled else bare).add(folder + str(weight["path_name"]))
    names = bare - others - {config.name for config in configs}
    storages = frozenset(number for number, name in enumerate(directory.names) if name in names)
    return Contents(all=tuple(tensors), model=tuple(tensors)), issues, storages


def _read_config(reader: FileReader, config: Member) -> dict[str, Any]:
    if config.size > _LARGEST_CONFIG:
        message = f"{reader.name}: {config.name!r} has {config.size} bytes, more than are judged"
        raise FormatError(message, code=NOT_JUDGED, file=reader.name)
    config.allowance.look_through(config.size, reader.name)
    content = json.loads(read_member(reader, config, _LARGEST_CONFIG).decode("utf-8"))
    weights = content.get("config") if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        raise ValueError("it has no config")  # noqa: TRY004  # the file's fault, not a caller's
    return weights


def _tensor(weight: dict[str, Any]) -> Tensor:
    """Return one weight's header.

    Raises:
        BadArgumentsError: A size or stride is none.
        KeyError: Something is missing, or the element type unknown.
        TypeError: Something is of another type.
    """
    meta = weight["tensor_meta"]
    shape = dimensions(tuple(size["as_int"] for size in meta["sizes"]), "shape")
    stride = dimensions(tuple(step["as_int"] for step in meta["strides"]), "stride")
    (start,) = dimensions((meta["storage_offset"]["as_int"],), "storage offset")
    if len(shape) != len(stride):
        raise BadArgumentsError("a shape and a stride of different lengths")
    dtype = SCALAR_TYPES[meta["dtype"]]
    elements = storage_extent(start, shape, stride)
    if elements * ITEM_BYTES[dtype] >= LARGEST:
        raise BadArgumentsError("a shape that overflows")
    storage = Storage(dtype, str(weight["path_name"]), "cpu", elements, 0)
    return Tensor(dtype, shape, stride, storage, start)


def _member_issues(
    name: str, tensor: Tensor, directory: Directory, folder: str, config: Member, *, pickled: bool
) -> list[Issue]:
    """Check that the weight's member is there, and long enough; a pickled one has its length in itself."""
    assert tensor.storage is not None  # noqa: S101  # as it was just made
    member = directory.find(folder + tensor.storage.key)
    needed = tensor.storage.elements * ITEM_BYTES[tensor.dtype]
    if member is not None and (pickled or member.size >= needed):
        return []
    what = "is not in the archive" if member is None else f"holds {member.size} bytes of {needed}"
    message = f"the weight {name!r} lies in {folder}{tensor.storage.key}, which {what}"
    return [unreadable("storage-size-mismatch", message, config.header_offset)]
