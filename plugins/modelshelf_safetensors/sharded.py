"""The index of shards, ``*.safetensors.index.json``, and whether the shards are what it says.

Source: transformers' ``save_pretrained``: ``{"metadata": {"total_size": N}, "weight_map": {tensor: file}}``.
The map is data and never a path: nothing is opened because an index names it.
"""

from __future__ import annotations

from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import frozen

from modelshelf.errors import FormatError
from modelshelf.model import Finding, Severity
from modelshelf_safetensors.compact import Names, all_distinct
from modelshelf_safetensors.findings import BoundedFindings, shown
from modelshelf_safetensors.strict_json import Members, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf.reader import FileReader
    from modelshelf_safetensors.layout import Header

MOST_INDEX_BYTES = 100_000_000
"""As for a header: no index of a real model comes near."""

MOST_COUNTED = 300_000
"""Tensors of all shards whose names are counted one by one."""

_MOST_NAME_BYTES = 255  # of a file name on every file system in use


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
        told = parse(raw.decode("utf-8-sig"))
    except ValueError as error:
        raise _malformed(file, f"is not JSON: {error}") from None
    if not isinstance(told, Members):
        raise _malformed(file, "is no JSON object")
    members = dict(told)
    weight_map = members.get("weight_map")
    if not isinstance(weight_map, Members):
        raise _malformed(file, "has no object weight_map")
    findings = BoundedFindings(file)
    if len(members) != len(told):
        findings.warn("duplicate-index-key", "a key of the index stands twice; the last stands")
    return Index(
        file=file,
        weight_map=_safe_entries(weight_map, findings),
        total_size=_total_size(members.get("metadata"), findings),
        findings=findings.all(),
    )


def _malformed(file: str, what: str) -> FormatError:
    return FormatError(f"{file}: {what}; fetch the index again", code="malformed-index", file=file, offset=0)


def _safe_entries(weight_map: Members, findings: BoundedFindings) -> dict[str, str]:
    entries: dict[str, str] = {}
    for tensor, shard in weight_map:
        if not isinstance(shard, str):
            findings.add(
                "index-value-not-text", Severity.ERROR, f"the shard of tensor {shown(tensor)} is no text"
            )
        elif not is_plain_name(shard):
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


def is_plain_name(name: str) -> bool:
    """Whether text can only mean a file in the same folder, on any system."""
    return (
        name not in {"", ".", ".."}
        and len(name.encode(errors="surrogatepass")) <= _MOST_NAME_BYTES
        and not any(part in name for part in ("/", "\\", "\0", ":"))
        and "%2f" not in name.lower()
        and "%5c" not in name.lower()
    )


def _total_size(metadata: Any, findings: BoundedFindings) -> int | None:
    total = dict(metadata).get("total_size") if isinstance(metadata, Members) else None
    # Some writers divide bits by 8 and leave a float with a whole value.
    if isinstance(total, float) and total.is_integer() and total >= 0:
        total = int(total)
    if total is None or (type(total) is int and total >= 0):
        return total
    findings.warn("wrong-total-size", f"metadata.total_size is {shown(str(total))}, no count of bytes")
    return None


def index_findings(index: Index, headers: Mapping[str, Header], *, complete: bool) -> tuple[Finding, ...]:
    """Compare an index with the headers of its shards, by file name.

    `complete` says that `headers` holds every shard; else the total size is not compared.
    """
    findings = BoundedFindings(index.file)
    held = {shard: set(header.names) for shard, header in headers.items()}
    place = {tensor: shard for shard, tensors in held.items() for tensor in tensors}
    for tensor, shard in index.weight_map.items():
        if shard in held and tensor not in held[shard]:
            elsewhere = place.get(tensor)
            findings.add(
                "missing-tensor" if elsewhere is None else "misplaced-tensor",
                Severity.ERROR,
                f"tensor {shown(tensor)} is not in {shown(shard)}, where the index has it"
                + ("" if elsewhere is None else f", but in {shown(elsewhere)}"),
                file=shard,
            )
    named = set(index.weight_map.values())
    for shard, tensors in held.items():
        if shard not in named:
            findings.add(
                "extra-shard", Severity.WARNING, f"the index {index.file} does not name this file", file=shard
            )
            continue
        for tensor in sorted(tensors - index.weight_map.keys()):
            findings.add(
                "extra-tensor",
                Severity.WARNING,
                f"the index does not name tensor {shown(tensor)}",
                file=shard,
            )
    if complete and index.total_size is not None:
        _compare_total(index.total_size, headers, findings)
    return findings.all()


def _compare_total(total: int, headers: Mapping[str, Header], findings: BoundedFindings) -> None:
    data = sum(header.data_size for header in headers.values())
    # Older writers summed the files and not the tensors.
    files = sum(header.data_start + header.data_size for header in headers.values())
    if total not in {data, files}:
        findings.warn(
            "wrong-total-size",
            f"metadata.total_size promises {total} bytes, the shards hold {data} of tensors",
        )


def _are_distinct(headers: Mapping[str, Header]) -> bool:
    """Whether no name stands in two headers, told by hashes, which take a tenth of the room."""
    hashes = array("q")
    for header in headers.values():
        hashes.extend(
            header.names.hashes()
            if isinstance(header.names, Names)
            else map(hash, map(str.encode, header.names))
        )
    return all_distinct(hashes)


def repeated_findings(headers: Mapping[str, Header], file: str) -> tuple[Finding, ...]:
    """Find tensors that stand in several files; `file` is the index's name, or the first shard's."""
    findings = BoundedFindings(file)
    if sum(len(header.names) for header in headers.values()) > MOST_COUNTED and _are_distinct(headers):
        return ()
    counts = Counter(name for header in headers.values() for name in header.names)
    if len(counts) != sum(len(header.names) for header in headers.values()):
        for tensor, count in counts.items():
            if count > 1:
                findings.warn(
                    "tensor-in-several-shards", f"tensor {shown(tensor)} stands in {count} of the files"
                )
    return findings.all()
