"""The code that an archive carries: what runs when the archive is loaded, and what when the model is used.

Sources: ``torch/csrc/jit/serialization/import.cpp`` (TorchScript), ``torch/export/pt2_archive/_package.py``,
``torch/csrc/inductor/aoti_package/model_package_loader.cpp`` (torch.export, AOTInductor), and
``torch/package/package_importer.py`` (2.13). Code is read as text by rule; nothing of it is run or compiled.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelshelf.errors import FormatError, ReadError
from modelshelf.model.status import NOT_JUDGED
from modelshelf_pytorch.containers.expressions import is_torch_expression
from modelshelf_pytorch.verdict import Issue, Verdict, dangerous, issue_of, suspicious, unreadable
from modelshelf_pytorch.zip.directory import ascii_lower
from modelshelf_pytorch.zip.read import read_member

if TYPE_CHECKING:
    from modelshelf.reader import FileReader
    from modelshelf_pytorch.containers.inspection import Inspection
    from modelshelf_pytorch.zip.directory import Directory, Member

_LARGEST_SOURCE = 64 * 1024 * 1024  # bytes of one member of code
_SETSTATE = re.compile(rb"__setstate__")
_FILE_OPERATORS = rb"(?:save|from_file)"
_FILE_OPERATOR = re.compile(rb"\.[\s\\]*" + _FILE_OPERATORS + rb"\b|aten::" + _FILE_OPERATORS)
_OWN_METHOD = re.compile(rb"\bdef\s+" + _FILE_OPERATORS + rb"\b")
_NAMED_OPERATOR = re.compile(
    rb"\b(?:torch|aten)[\s)\\]*\.[\s\\]*" + _FILE_OPERATORS + rb"\b|aten::" + _FILE_OPERATORS
)
_OTHER_OPERATOR = re.compile(
    rb"\bops[\s)\\]*\.[\s\\]*\w+[\s)\\]*\.[\s\\]*"
    rb"\w*(?:_file|file_|save_|_save|load_|_load|read_|write_)\w*|debugprims::load_tensor"
)
_STRING = re.compile(rb"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'")
_ALIAS = re.compile(rb"(?<![\w.])(?:torch|ops)\b(?![\s)\\]*\.)")
_NATIVE_FOLDER = "data/aotinductor/"
_NATIVE_SUFFIXES = (".so", ".dylib", ".dll", ".pyd", ".o", ".obj", ".a", ".cpp", ".cc", ".c", ".cu")
_NATIVE_MAGIC = (
    b"\x7fELF",
    b"MZ",
    b"\xcf\xfa\xed\xfe",
    b"\xce\xfa\xed\xfe",
    b"\xca\xfe\xba\xbe",
    b"!<arch>\n",
)
_OBJECT_PREFIXES = ("data/constants/custom_obj_", "data/constants/opaque_obj_")
_PROGRAM_RECORDS = ("archive_format", "serialized_exported_program.json")


def code_issues(reader: FileReader, inspection: Inspection, modules: set[str]) -> Iterator[Issue]:
    """Yield what an archive's code does, and when it runs.

    Args:
        reader: The archive.
        inspection: What its header says.
        modules: The modules that its pickles name, and the packages in which they lie.
    """
    directory = inspection.directory
    if directory is None:
        return
    yield from _native_issues(reader, directory)
    if inspection.kind == "exported" or any(
        directory.find(inspection.root + name) for name in _PROGRAM_RECORDS
    ):
        yield from _program_issues(reader, directory, inspection.root)
    if directory.find(f"{inspection.root}.data/extern_modules") is not None:
        yield from _package_issues(directory, inspection.root, modules)
    else:
        yield from _script_issues(reader, directory, inspection.root)


def _script_issues(reader: FileReader, directory: Directory, root: str) -> Iterator[Issue]:
    """Yield when TorchScript's code runs, and whether it reads or writes files."""
    sources: list[tuple[Member, bytes]] = []
    folder, bytecode = ascii_lower(f"{root}code/"), ascii_lower(f"{root}bytecode.pkl")
    for number, name in enumerate(directory.names):
        lower = ascii_lower(name)
        if (lower.startswith(folder) and not lower.endswith(".debug_pkl")) or lower == bytecode:
            member = directory.member(number)
            try:
                sources.append((member, _read_whole(reader, member)))
            except ReadError as error:
                yield issue_of(error, member.header_offset)
    if not sources:
        return
    loading = next((member for member, text in sources if _SETSTATE.search(text)), None)
    if loading is not None:
        message = (
            f"a TorchScript archive whose code runs when it is loaded: {loading.name} has a __setstate__"
        )
        yield suspicious("code-runs-at-load", message, loading.header_offset)
    own = any(_OWN_METHOD.search(text) for _, text in sources)
    for member, text in sources:
        operator = _file_operator(text, own=own)
        if operator:
            message = f"the TorchScript in {member.name} {operator}; use it only if you trust who made it"
            yield suspicious("code-uses-files", message, member.header_offset)
    if loading is None:
        when = "none of which runs when it is loaded; it runs when the model is called"
        message = f"a TorchScript archive: it carries the model's code, {when}"
        yield Issue(code="carries-code", verdict=Verdict.CLEAN, message=message)


def _file_operator(text: bytes, *, own: bool) -> str:
    """Return what code has to do with files, for a message; empty where it has not.

    Args:
        text: The code.
        own: Whether the archive's own classes have methods of the operators' names, which may be meant.
    """
    match = _NAMED_OPERATOR.search(text) or _OTHER_OPERATOR.search(text)
    if match is None and not own:
        match = _FILE_OPERATOR.search(text)
    if match is not None:
        shown = match[0][:80].decode("ascii", "replace")
        return f"calls {shown!r}, an operator that reads or writes files"
    if _ALIAS.search(_STRING.sub(b"''", text)) and b"::" not in text:
        return "gives torch's operators another name, so that it cannot be said which it calls"
    return ""


def _read_whole(reader: FileReader, member: Member) -> bytes:
    """Return a member of code or JSON.

    Raises:
        ReadError: It cannot be read, or is longer than is judged.
    """
    if member.size > _LARGEST_SOURCE:
        message = f"{reader.name}: {member.name!r} has {member.size} bytes, more than are judged"
        raise FormatError(message, code=NOT_JUDGED, file=reader.name)
    member.allowance.look_through(member.size, reader.name)
    return read_member(reader, member, _LARGEST_SOURCE)


def _native_issues(reader: FileReader, directory: Directory) -> Iterator[Issue]:
    """Yield native code that AOTInductor's loader unpacks, compiles where it is source, and loads."""
    for number, name in enumerate(directory.names):
        lower = ascii_lower(name)
        if _NATIVE_FOLDER not in lower:
            continue
        member = directory.member(number)
        try:
            native = lower.endswith(_NATIVE_SUFFIXES) or read_member(reader, member, 8).startswith(
                _NATIVE_MAGIC
            )
        except ReadError as error:
            yield issue_of(error, member.header_offset)
            continue
        if native:
            message = (
                f"an AOTInductor package with native code, {name}: loading it runs that code with all your "
                "rights; load it only if you trust who made it"
            )
            yield dangerous("native-code", message, member.header_offset)
            return


def _program_issues(reader: FileReader, directory: Directory, root: str) -> Iterator[Issue]:
    """Yield a program's expressions that are no shapes, and its custom objects."""
    for number, name in enumerate(directory.names):
        lower = ascii_lower(name)
        member = directory.member(number)
        if lower.startswith(tuple(ascii_lower(root + prefix) for prefix in _OBJECT_PREFIXES)):
            message = f"a program with a custom object, {name}: its class's own code runs when it is loaded"
            yield suspicious("code-runs-at-load", message, member.header_offset)
        elif lower.endswith(".json"):
            try:
                yield from _expression_issues(member, _read_json_member(reader, member))
            except ReadError as error:
                yield issue_of(error, member.header_offset)
            except (ValueError, RecursionError) as error:
                message = f"{name!r} cannot be read: {error}"
                yield unreadable("bad-record", message, member.header_offset)


def _read_json_member(reader: FileReader, member: Member) -> list[Any]:
    """Return the expressions in a member of JSON, one by one; nothing else of it is kept.

    Raises:
        ReadError: The member cannot be read.
        ValueError: It is no JSON.
    """
    import json  # which checkpoints do not need

    expressions: list[Any] = []

    def collect(pairs: list[tuple[str, Any]]) -> None:
        expressions.extend(value for key, value in pairs if key == "expr_str")

    json.loads(_read_whole(reader, member).decode("utf-8"), object_pairs_hook=collect)
    return expressions


def _expression_issues(member: Member, expressions: list[Any]) -> Iterator[Issue]:
    for expression in dict.fromkeys(map(str, expressions)):
        if not is_torch_expression(expression):
            message = (
                f"{member.name} has a shape {expression[:120]!r}, which torch does not write: loading it "
                "evaluates that as Python; do not load it"
            )
            yield dangerous("unsafe-expression", message, member.header_offset)
            return


def _package_issues(directory: Directory, root: str, modules: set[str]) -> Iterator[Issue]:
    """Yield the Python sources of a torch.package, and whether loading its pickles runs any."""
    sources: dict[str, Member] = {}
    for number, name in enumerate(directory.names):
        if name.endswith(".py"):
            path = name.removeprefix(root).removesuffix(".py").removesuffix("/__init__")
            sources[path.replace("/", ".")] = directory.member(number)
    if not sources:
        return
    for module in sorted(modules):
        parts = module.split(".")
        for count in range(1, len(parts) + 1):
            member = sources.get(".".join(parts[:count]))
            if member is not None:
                what = f"a torch.package whose pickles need the module {module}"
                message = f"{what}: loading them runs {member.name}; load it only if you trust who made it"
                yield dangerous("code-runs-at-load", message, member.header_offset)
                return
    message = (
        "a torch.package with Python sources: none runs when its pickles are loaded; they run when imported"
    )
    yield Issue(code="carries-code", verdict=Verdict.CLEAN, message=message)
