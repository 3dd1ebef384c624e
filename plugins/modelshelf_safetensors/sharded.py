"""All files of one model, read together: a single file, or shards with or without an index.

The index is ``*.safetensors.index.json``. Source: transformers' ``save_pretrained``:
``{"metadata": {"total_size": N}, "weight_map": {tensor: file}}``. The map is data and never a path: no file
is opened because an index names it.
"""

from __future__ import annotations

import heapq
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import FormatError, ReadError
from modelshelf.model import Finding, Severity, TensorPlaces
from modelshelf_safetensors.columns import repeated_hashes
from modelshelf_safetensors.findings import BoundedFindings, shown
from modelshelf_safetensors.header import read_header
from modelshelf_safetensors.layout import Header, Layout
from modelshelf_safetensors.strict_json import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from modelshelf.reader import ArtifactReader, FileReader

MOST_INDEX_BYTES = 100_000_000
"""As for a header: no index of a real model comes near."""

_MOST_NAME_BYTES = 255  # of a file name on every file system in use
_KEY = "safetensors"


@frozen(kw_only=True)
class Index:
    """What an index says.

    Attributes:
        file: The index's own name.
        weight_map: Tensor to the name of its shard, entries that cannot be left out.
        total_size: Bytes of tensor data that it promises, or None.
        findings: What is wrong with the index by itself.
    """

    file: str
    weight_map: dict[str, str]
    total_size: int | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def shards(self) -> tuple[str, ...]:
        """The shards that it names, each once."""
        return tuple(dict.fromkeys(self.weight_map.values()))


@frozen(kw_only=True)
class Checkpoint:
    """What the headers of a model's files say.

    Attributes:
        headers: The header of each file that could be read, by the file's name, in shard order.
        faults: Why the others could not.
        index: The index of the shards, where there is one that can be read.
        missing: Names of shards that are not there.
    """

    headers: dict[str, Header]
    faults: tuple[ReadError, ...] = ()
    index: Index | None = None
    missing: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every tensor of the model is in `headers`."""
        return not self.faults and not self.missing

    @property
    def metadata(self) -> dict[str, str]:
        """``__metadata__`` of all files; of equal keys the first file's value."""
        return {
            key: text for header in reversed(self.headers.values()) for key, text in header.metadata.items()
        }

    def tensors(self) -> Iterator[tuple[str, Layout]]:
        """Names and layouts of all tensors, file by file, of headers that keep them."""
        for header in self.headers.values():
            if header.layouts is not None:
                yield from zip(header.names, header.layouts, strict=True)


def read_checkpoint(reader: ArtifactReader) -> Checkpoint:
    """Read the headers of an artifact's files, once for all hooks.

    Raises:
        ReadError: No header can be read; the first file's fault.
    """
    return reader.once(_KEY, lambda: _read(reader))


def _read(reader: ArtifactReader) -> Checkpoint:
    artifact = reader.artifact
    headers: dict[str, Header] = {}
    faults: list[ReadError] = []
    for one in artifact.weights:
        try:
            headers[one.name] = read_header(reader.file(one.name))
        except ReadError as error:
            faults.append(error)
    index = None
    if artifact.index is not None:
        try:
            index = read_index(reader.file(artifact.index.name))
        except ReadError as error:
            faults.append(error)
    if not headers and faults:
        raise faults[0]
    there = {one.name for one in artifact.weights}
    promised = index.shards if index is not None else ()
    missing = dict.fromkeys(name for name in (*artifact.missing, *promised) if name not in there)
    return Checkpoint(headers=headers, faults=tuple(faults), index=index, missing=tuple(missing))


def tensor_places(reader: ArtifactReader) -> Iterator[TensorPlaces]:
    """Where the tensors' data lies in each file whose header can be read.

    Raises:
        ReadError: No header can be read.
    """
    for name, header in read_checkpoint(reader).headers.items():
        start = header.data_start
        spans = ((start + begin, end - begin) for begin, end in zip(header.begins, header.ends, strict=True))
        yield TensorPlaces(file=name, spans=tuple(spans))


def read_index(file: FileReader) -> Index:
    """Read an index.

    Raises:
        FormatError: It is no JSON object with a ``weight_map``.
        TruncatedFileError: It is empty.
    """
    if file.size > MOST_INDEX_BYTES:
        raise _malformed(file.name, f"has {file.size} bytes, more than the {MOST_INDEX_BYTES} that are read")
    return parse_index(file.read(0, file.size), file.name)


def parse_index(raw: bytes, file: str) -> Index:
    """Read the bytes of an index; `file` is its name.

    Raises:
        FormatError: It is no JSON object with a ``weight_map``.
    """
    try:
        value = parse(raw.decode("utf-8-sig"))
    except ValueError as error:
        raise _malformed(file, f"is not JSON: {error}") from None
    if not isinstance(value, tuple):
        raise _malformed(file, "is no JSON object")
    members = dict(value)
    weight_map = members.get("weight_map")
    if not isinstance(weight_map, tuple):
        raise _malformed(file, "has no object weight_map")
    findings = BoundedFindings(file)
    if len(members) != len(value):
        findings.warn("duplicate-index-key", "a key of the index stands twice; the last stands")
    return Index(
        file=file,
        weight_map=_safe_entries(weight_map, findings),
        total_size=_total_size(members.get("metadata"), findings),
        findings=findings.all(),
    )


def _malformed(file: str, what: str) -> FormatError:
    return FormatError(f"{file}: {what}; fetch the index again", code="malformed-index", file=file, offset=0)


def _safe_entries(weight_map: tuple[tuple[str, Any], ...], findings: BoundedFindings) -> dict[str, str]:
    entries: dict[str, str] = {}
    for tensor, shard in weight_map:
        if not isinstance(shard, str):
            findings.add(
                "index-value-not-text", Severity.ERROR, f"the shard of tensor {shown(tensor)} is no text"
            )
        elif not is_file_name(shard):
            findings.add(
                "index-unsafe-path",
                Severity.ERROR,
                f"tensor {shown(tensor)} is said to lie in {shown(shard)}, which is no name of a file in this"
                " folder; it is not opened",
            )
        else:
            if tensor in entries:
                findings.warn("duplicate-index-key", f"tensor {shown(tensor)} stands twice; the last stands")
            entries[tensor] = shard
    return entries


def is_file_name(name: str) -> bool:
    """Whether text can only mean a file in the same folder, on any system."""
    return (
        name not in {"", ".", ".."}
        and len(name.encode(errors="surrogatepass")) <= _MOST_NAME_BYTES
        and not any(part in name for part in ("/", "\\", "\0", ":"))
        and "%2f" not in name.lower()
        and "%5c" not in name.lower()
    )


def _total_size(metadata: Any, findings: BoundedFindings) -> int | None:
    total = dict(metadata).get("total_size") if isinstance(metadata, tuple) else None
    # Some writers divide bits by 8 and leave a float with a whole value.
    if isinstance(total, float) and total.is_integer() and total >= 0:
        total = int(total)
    if total is None or (type(total) is int and total >= 0):
        return total
    findings.warn("wrong-total-size", f"metadata.total_size is {shown(str(total))}, no count of bytes")
    return None


def index_findings(index: Index, headers: Mapping[str, Header], *, complete: bool) -> tuple[Finding, ...]:
    """Compare an index with the headers of its shards, by file name.

    `complete` says that `headers` has every shard; else the total size is not compared.
    """
    findings = BoundedFindings(index.file)
    _find_missing(index, headers, findings)
    named = set(index.weight_map.values())
    for shard, header in headers.items():
        if shard in named:
            _find_extra(index, shard, header, findings)
        else:
            findings.add(
                "extra-shard", Severity.WARNING, f"the index {index.file} does not name this file", file=shard
            )
    if complete and index.total_size is not None:
        _compare_total(index.total_size, headers, findings)
    return findings.all()


def _find_missing(index: Index, headers: Mapping[str, Header], findings: BoundedFindings) -> None:
    """Find tensors that are not in the file where the index has them."""
    missing: dict[str, set[str]] = {shard: set() for shard in headers}
    for tensor, shard in index.weight_map.items():
        if shard in missing:
            missing[shard].add(tensor)
    for shard, header in headers.items():
        missing[shard].difference_update(header.names)
    wanted = set[str]().union(*missing.values())
    if not wanted:
        return
    place = {name: shard for shard, header in headers.items() for name in header.names if name in wanted}
    for tensor, shard in index.weight_map.items():
        if tensor in missing.get(shard, ()):
            elsewhere = place.get(tensor)
            findings.add(
                "missing-tensor" if elsewhere is None else "misplaced-tensor",
                Severity.ERROR,
                f"tensor {shown(tensor)} is not in {shown(shard)}, where the index has it"
                + ("" if elsewhere is None else f", but in {shown(elsewhere)}"),
                file=shard,
            )


def _find_extra(index: Index, shard: str, header: Header, findings: BoundedFindings) -> None:
    """Find tensors that the index does not name."""
    code, most = "extra-tensor", findings.room("extra-tensor")
    extra = heapq.nsmallest(most, (name for name in header.names if name not in index.weight_map))
    for tensor in extra:
        findings.add(code, Severity.WARNING, f"the index does not name tensor {shown(tensor)}", file=shard)
    if len(extra) == most:
        count = sum(name not in index.weight_map for name in header.names)
        findings.count(code, Severity.WARNING, count - most, file=shard)


def _compare_total(total: int, headers: Mapping[str, Header], findings: BoundedFindings) -> None:
    data = sum(header.data_size for header in headers.values())
    # Older writers summed the files and not the tensors.
    files = sum(header.data_start + header.data_size for header in headers.values())
    if total not in {data, files}:
        findings.warn(
            "wrong-total-size",
            f"metadata.total_size promises {total} bytes, the shards hold {data} of tensors",
        )


def repeated_findings(headers: Mapping[str, Header], file: str) -> tuple[Finding, ...]:
    """Find tensors that are in several files; `file` is the index's name, or the first shard's."""
    findings = BoundedFindings(file)
    columns = [header.names for header in headers.values()]
    for hashes in repeated_hashes(columns):
        names = (name for column in columns for name in column if hash(name.encode()) in hashes)
        for tensor, count in Counter(names).items():
            findings.warn(
                "tensor-in-several-shards", f"tensor {shown(tensor)} stands in {count} of the files"
            )
    return findings.all()
