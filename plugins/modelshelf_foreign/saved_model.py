"""Operations of a SavedModel that read or write files, or call Python: found by their names in the graph.

The protocol buffer is gone through by its fields' numbers: graphs, their nodes, and the nodes of their
functions. Sources: ``saved_model.proto``, ``meta_graph.proto``, ``graph.proto``, ``function.proto`` and
``node_def.proto`` of TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.model import Finding, Severity
from modelshelf_foreign.keras_layers import code_findings, code_named_in
from modelshelf_foreign.neighbours import read_beside

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.reader import FileReader

_LARGEST = 64 << 20  # bytes of a graph; its constants lie in other files where it is larger
_MOST_FIELDS = 2_000_000
_VARINT, _FIXED64, _BYTES, _GROUP, _END_GROUP, _FIXED32 = range(6)
_LONGEST_VARINT = 10  # bytes
_LAST_BYTE = 0x7F  # of a varint, at most
_NO_TAG = 7  # a kind of field that there is not

# Of a SavedModel: its graphs, and in each the graph itself, the functions of its library, and their nodes.
_META_GRAPHS, _GRAPH, _NODES, _LIBRARY, _FUNCTIONS, _FUNCTION_NODES = 2, 2, 1, 2, 1, 3
_OPERATION = 2  # of a node: its name

_READS = frozenset(
    {
        "CSVDataset",
        "CSVDatasetV2",
        "ExperimentalLMDBDataset",
        "FixedLengthRecordDataset",
        "FixedLengthRecordDatasetV2",
        "FixedLengthRecordReader",
        "FixedLengthRecordReaderV2",
        "ImmutableConst",
        "LMDBDataset",
        "LMDBReader",
        "LoadDataset",
        "MatchingFiles",
        "ReadFile",
        "SqlDataset",
        "TFRecordDataset",
        "TFRecordDatasetV2",
        "TFRecordReader",
        "TFRecordReaderV2",
        "TextLineDataset",
        "TextLineReader",
        "TextLineReaderV2",
        "WholeFileReader",
        "WholeFileReaderV2",
    }
)
_WRITES = frozenset(
    {
        "CreateSummaryDbWriter",
        "CreateSummaryFileWriter",
        "DatasetToTFRecord",
        "ExperimentalDatasetToTFRecord",
        "FileSystemSetConfiguration",
        "SaveDataset",
        "SaveDatasetV2",
        "SnapshotDataset",
        "SnapshotDatasetV2",
        "WriteFile",
    }
)
_CALLS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless"})
_TO_A_FILE = dict.fromkeys(("DebugIdentity", "DebugIdentityV2", "PrintV2"), b"file://")  # with that text


def operation_findings(file: FileReader, folder: str) -> Iterator[Finding]:
    """Yield a warning for what the graph's operations do besides computing, an error for Lambda layers."""
    data = file.read_up_to(0, _LARGEST)
    found = set(_Graph(data).operations())
    for operations, code, what in (
        (_WRITES | _TO_A_FILE.keys(), "writes-files", "write files"),
        (_READS, "reads-files", "read files"),
        (_CALLS, "calls-python", "call functions of the Python program that runs it"),
    ):
        names = sorted(found & operations)
        if names:
            message = f"{file.name}: has operations that {what} when the model runs: {', '.join(names)}"
            yield Finding(code=code, severity=Severity.WARNING, message=message, file=file.name)
    yield from code_findings(code_named_in(data) | code_named_in(_keras_metadata(folder)), file.name)


def _keras_metadata(folder: str) -> bytes:
    return read_beside(folder, "keras_metadata.pb", _LARGEST)


class _Graph:
    """The operations of a SavedModel's graphs, within a bound of fields."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._left = _MOST_FIELDS

    def operations(self) -> Iterator[str]:
        """Yield the name of each node's operation, as far as the bytes are such a graph."""
        for meta in self._members(0, len(self._data), _META_GRAPHS):
            for graph in self._members(*meta, _GRAPH):
                for node in self._members(*graph, _NODES):
                    yield from self._operation(*node)
                for library in self._members(*graph, _LIBRARY):
                    for function in self._members(*library, _FUNCTIONS):
                        for node in self._members(*function, _FUNCTION_NODES):
                            yield from self._operation(*node)

    def _operation(self, begin: int, end: int) -> Iterator[str]:
        for first, last in self._members(begin, end, _OPERATION):
            name = self._data[first:last].decode("ascii", "replace")
            mark = _TO_A_FILE.get(name)
            if mark is None or self._data.find(mark, begin, end) >= 0:
                yield name

    def _members(self, begin: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
        """Yield begin and end of each field of bytes with that number, until the bytes break the rules."""
        position = begin
        while position < end and self._left > 0:
            self._left -= 1
            tag, position = self._varint(position, end)
            kind = tag & 7
            if kind == _VARINT:
                _, position = self._varint(position, end)
            elif kind in {_FIXED64, _FIXED32}:
                position += 8 if kind == _FIXED64 else 4
            elif kind == _BYTES:
                length, position = self._varint(position, end)
                if tag >> 3 == wanted:
                    yield position, min(position + length, end)
                position += length
            elif kind not in {_GROUP, _END_GROUP}:
                return

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """Return a number and the place behind it; the end, where there is none."""
        value = 0
        for count in range(min(_LONGEST_VARINT, end - position)):
            byte = self._data[position + count]
            value |= (byte & 0x7F) << (7 * count)
            if byte <= _LAST_BYTE:
                return value, position + count + 1
        return _NO_TAG, end
