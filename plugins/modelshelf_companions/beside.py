"""The companions of one artifact, read together: what they say, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from modelshelf.errors import ReadError
from modelshelf.model import Finding, ModelMetadata, Origin, Severity
from modelshelf_companions import card
from modelshelf_companions.config import READERS, wrong_types
from modelshelf_companions.json_text import Document, parse_document
from modelshelf_companions.names import NameFacts, is_generic, parse_name, stem_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader

_KEY = "companions"
_MOST_JSON_BYTES = 16 << 20
_CARD = "readme.md"  # in any case
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_LONGEST_SHOWN = 200  # characters


@frozen(kw_only=True)
class Beside:
    """What the companions and the names of one artifact say.

    Attributes:
        partials: One for each companion and each name that says something.
        findings: Companions that could not be read.
    """

    partials: list[ModelMetadata] = field(factory=list)
    findings: list[Finding] = field(factory=list)


def read_beside(reader: ArtifactReader) -> Beside:
    """Read the companions of an artifact, once for all hooks. Never raises for a broken one."""
    return reader.once(_KEY, lambda: _read(reader))


def _read(reader: ArtifactReader) -> Beside:
    beside = Beside()
    names = {one.name for one in reader.artifact.companions}
    for name in READERS:
        if name in names:
            _read_json(reader, name, beside)
    for name in sorted(names):
        if name.lower() == _CARD:
            _read_card(reader, name, beside)
    _tell_template(names, beside)
    beside.partials.extend(from_names(reader.artifact))
    return beside


def _tell_template(names: set[str], beside: Beside) -> None:
    """Say that there is a chat template in a file of its own, or that there is none in any of its places."""
    file = next((name for name in _TEMPLATES if name in names), None)
    if file is not None:
        beside.partials.append(ModelMetadata.partial(Origin.CONFIG, file, chat_template=True))
    elif "tokenizer_config.json" in names and not beside.findings:
        beside.partials.append(
            ModelMetadata.partial(Origin.CONFIG, "tokenizer_config.json", chat_template=False)
        )


def _read_json(reader: ArtifactReader, name: str, beside: Beside) -> None:
    try:
        document = _document(reader.file(name))
    except (ReadError, ValueError) as error:
        beside.findings.append(_broken(name, "malformed-config", Severity.WARNING, error))
        return
    beside.partials.append(READERS[name](document.members, name))
    if not document.strict:
        beside.findings.append(
            _finding(
                name, "config-not-strict-json", Severity.INFO, "holds NaN or Infinity, which JSON has not"
            )
        )
    ignored = wrong_types(document.members) if name == "config.json" else ()
    if ignored:
        beside.findings.append(
            _finding(name, "config-value-ignored", Severity.INFO, f"{ignored[0]} is of the wrong type")
        )


def _document(file: FileReader) -> Document:
    if file.size > _MOST_JSON_BYTES:
        raise ValueError(f"has {file.size} bytes, more than the {_MOST_JSON_BYTES} that are read")
    return parse_document(file.read(0, file.size))


def _read_card(reader: ArtifactReader, name: str, beside: Beside) -> None:
    try:
        front = card.parse_card(reader.file(name).read_up_to(0, card.MOST_BYTES))
    except (ReadError, ValueError) as error:
        beside.findings.append(_broken(name, "malformed-card", Severity.INFO, error))
        return
    beside.partials.append(card.from_card(front, name))


def _broken(name: str, code: str, severity: Severity, error: Exception) -> Finding:
    if isinstance(error, ReadError):
        return Finding(code=error.code, severity=severity, message=str(error), file=name, offset=error.offset)
    return _finding(name, code, severity, f"{error}; what it says is left out")


def _finding(name: str, code: str, severity: Severity, what: str) -> Finding:
    return Finding(code=code, severity=severity, message=f"{name}: {what[:_LONGEST_SHOWN]}", file=name)


def from_names(artifact: Artifact) -> Iterator[ModelMetadata]:
    """Tell what the artifact's names say.

    What is the file's own (size, quantization) is taken from the file before the folder; what is the
    model's (version, title) from the folder before the file. A folder counts only where it names this model:
    the file's name says nothing itself, a ``config.json`` lies beside it, or both begin with the same word.
    """
    file = artifact.weights[0].name if artifact.weights else artifact.primary
    file_facts = parse_name(file)
    folder = _folder_name(artifact, file)
    folder_facts = NameFacts() if folder is None else parse_name(folder)
    version = folder_facts.version or file_facts.version
    yield from _told_by_name(
        file.rsplit("/", 1)[-1],
        parameter_count=file_facts.parameter_count,
        quantization=file_facts.quantization,
        tags=file_facts.tags or None,
        title=None if folder_facts.title else file_facts.title,
        details=None if version is None else {"name_version": version},
    )
    if folder is not None:
        yield from _told_by_name(
            folder,
            parameter_count=folder_facts.parameter_count,
            quantization=folder_facts.quantization,
            tags=folder_facts.tags or None,
            title=folder_facts.title,
        )


def _told_by_name(name: str, **values: Any) -> Iterator[ModelMetadata]:
    """What a name says; most names say nothing."""
    told = {key: value for key, value in values.items() if value is not None}
    if told:
        yield ModelMetadata.partial(Origin.FILENAME, name, **told)


def _folder_name(artifact: Artifact, file: str) -> str | None:
    """The name that the source or the folder gives, where that is this model's."""
    above = artifact.folder.rstrip("/").split("/")
    told = artifact.model_id
    # An id of this form is the folder's name and, as several models lie there, what tells this one.
    if told is not None and not told.startswith(f"{above[-1]}:") and not is_generic(stem_of(told)):
        return told
    folder = next((name for name in reversed(above[-2:]) if not is_generic(name)), "")
    if not folder or parse_name(folder) == NameFacts():
        return None
    stem = stem_of(file)
    configured = any(one.name == "config.json" for one in artifact.companions)
    related = _first_word(stem) == _first_word(folder)
    return folder if is_generic(stem) or configured or related else None


def _first_word(name: str) -> str:
    letters = next((at for at, one in enumerate(name) if not one.isalpha()), len(name))
    return name[:letters].lower()
