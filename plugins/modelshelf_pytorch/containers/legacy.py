"""Read pickles that are a whole file: of any data, and torch's checkpoints from before its ZIP layout.

Source: ``torch/serialization.py`` (2.13), ``_legacy_save`` and ``_legacy_load``: five pickles (magic number,
protocol version, system info, the object, the storages' keys), then per storage an int64 of its elements and
its bytes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from modelshelf_pytorch.containers.inspection import Inspection
from modelshelf_pytorch.pickle.allowlist import ITEM_BYTES
from modelshelf_pytorch.pickle.audit import interpret
from modelshelf_pytorch.pickle.embedded import tail_issues
from modelshelf_pytorch.pickle.machine import Machine
from modelshelf_pytorch.pickle.symbols import Mapping, Storage
from modelshelf_pytorch.signatures import LEGACY_MAGIC_NUMBER, failed_download
from modelshelf_pytorch.tensors import contents_of
from modelshelf_pytorch.verdict import Issue, Verdict, suspicious, unreadable

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.pickle.outcome import Limits, Outcome

_PROTOCOL_VERSION = 1001
_HEADER_STREAMS = 5
_LONGEST_MAGIC = 512  # bytes of the magic number's pickle in any protocol, or more
_COUNT_BYTES = 8  # of a storage's element count


def read(reader: FileReader, limits: Limits | None = None) -> Inspection:
    """Read a file that begins with a pickle.

    Args:
        reader: The file.
        limits: How much of a pickle that is no checkpoint is judged.

    Raises:
        ReadError: The file cannot be read.
    """
    first = Machine(reader, 0, min(reader.size, _LONGEST_MAGIC)).run()
    if first.stopped and first.value == LEGACY_MAGIC_NUMBER and type(first.value) is int:
        return _read_checkpoint(reader, first)
    streams, issues = interpret(reader, 0, reader.size, limits=limits)
    judged = all(issue.verdict is not Verdict.NOT_JUDGED for stream in streams for issue in stream.issues)
    if judged and not any(
        stream.stopped or stream.globals or stream.protocol is not None for stream in streams
    ):
        # An opcode that reaches for code does so before the stream breaks off.
        issues = [
            _no_pickle(reader, streams[0]),
            *(issue for issue in issues if issue.verdict is Verdict.DANGEROUS),
        ]
    message = "a plain pickle names a storage that is not in it; it was cut out of a checkpoint"
    issues += [
        suspicious("bad-persistent-id", message, stream.storages[0].offset)
        for stream in streams
        if stream.storages
    ]
    return Inspection(
        kind="pickle", issues=tuple(issues), streams=tuple(streams), contents=contents_of(streams[0].value)
    )


def _no_pickle(reader: FileReader, stream: Outcome) -> Issue:
    failure = failed_download(reader.read_up_to(0, _LONGEST_MAGIC))
    if failure is not None:
        return unreadable(*failure, 0)
    reason = stream.issues[-1].message if stream.issues else "it ends at once"
    message = f"neither a checkpoint nor a pickle ({reason}); it is something else under this name"
    return evolve(unreadable("not-a-checkpoint", message, stream.end), doubt=True)


def _read_checkpoint(reader: FileReader, first: Outcome) -> Inspection:
    """Read a legacy checkpoint whose first stream, the magic number, was interpreted."""
    streams = [first]
    while len(streams) < _HEADER_STREAMS and streams[-1].stopped:
        streams.append(Machine(reader, streams[-1].end, reader.size).run())
    issues = [issue for stream in streams for issue in stream.issues]
    if len(streams) < _HEADER_STREAMS or not streams[-1].stopped:
        issues.extend(tail_issues(reader, streams[-1].end, reader.size, broken=True))
        return Inspection(kind="legacy", issues=tuple(issues), streams=tuple(streams))
    _, protocol, info, main, keys = (stream.value for stream in streams)
    if protocol != _PROTOCOL_VERSION or type(protocol) is not int:
        issues.append(_refused("another protocol version than 1001", streams[1].start))
    if type(info) is Mapping and info.get("little_endian") is False:
        issues.append(
            _refused("a big-endian machine's storages, which are read as little-endian", streams[2].start)
        )
    issues.extend(_storage_issues(reader, streams[3], keys, streams[4].end))
    return Inspection(kind="legacy", issues=tuple(issues), streams=tuple(streams), contents=contents_of(main))


def _refused(what: str, offset: int) -> Issue:
    return unreadable(
        "legacy-malformed", f"a legacy checkpoint with {what}: torch would refuse to load it", offset
    )


def _storage_issues(reader: FileReader, main: Outcome, keys: object, position: int) -> list[Issue]:
    """Check the storages that the pickle names against the list of their keys and the file.

    Args:
        reader: The file.
        main: The stream of the object.
        keys: The value of the last stream.
        position: File offset of the first storage.
    """
    named: dict[str, Storage] = {}
    for storage in main.storages:
        first = named.setdefault(storage.key, storage)
        if (first.elements, first.dtype) != (storage.elements, storage.dtype):
            message = f"storage {storage.key!r} is named twice with different sizes"
            return [unreadable("storage-size-mismatch", message, storage.offset)]
    if any(storage.untyped for storage in main.storages):
        return [_refused("untyped storages, which torch cannot read back from this layout", main.start)]
    if not all(storage.view for storage in main.storages):
        return [_refused("a persistent id without the view that this layout gives it", main.start)]
    if type(keys) is not list or any(type(key) is not str for key in keys):
        return [_refused("a list of storage keys that is none", position)]
    if len(set(keys)) != len(keys) or set(keys) != set(named):
        return [_refused("a list of storage keys that does not match its tensors", position)]
    return _walk_storages(reader, [named[key] for key in keys], position)


def _walk_storages(reader: FileReader, storages: list[Storage], position: int) -> list[Issue]:
    """Check that each storage is as long as the pickle says, and that the file ends with the last."""
    for storage in storages:
        length = storage.elements * ITEM_BYTES[storage.dtype]
        if position + _COUNT_BYTES + length > reader.size:
            message = f"the file ends ({reader.size} bytes) before its storages do: download it again"
            return [unreadable("truncated", message, position)]
        count = int.from_bytes(reader.read(position, _COUNT_BYTES), "little", signed=True)
        if count != storage.elements:
            message = (
                f"storage {storage.key!r} has {count} elements and its tensors expect {storage.elements}"
            )
            return [unreadable("storage-size-mismatch", message, position)]
        position += _COUNT_BYTES + length
    return tail_issues(reader, position, reader.size)
