"""Read the companions of one artifact together: their metadata, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.errors import ReadError
from modelshelf.model import Finding, ModelMetadata, Origin, Severity
from modelshelf_companions import card
from modelshelf_companions.config import READERS, wrong_types
from modelshelf_companions.documents import JsonObject, parse_json
from modelshelf_companions.names import from_names, is_generic

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader

_KEY = "companions"
_MAX_JSON_BYTES = 16 << 20
_CARD = "readme.md"  # in any case
_TEMPLATES = ("chat_template.jinja", "chat_template.json")
_OF_THE_MODEL = frozenset({"config.json", "params.json"})
_OF_ADAPTERS = frozenset({"adapter_config.json"})
_MATRICES = 4  # of the width, squared, in each block: less than any architecture has
_MAX_SHOWN = 200  # characters


@frozen(kw_only=True)
class Companions:
    """What the companions and the names of one artifact say.

    Attributes:
        partials: Metadata of each companion and each name that says something.
        findings: Companions that could not be read.
    """

    partials: list[ModelMetadata] = field(factory=list)
    findings: list[Finding] = field(factory=list)


def read_companions(reader: ArtifactReader) -> Companions:
    """Read the companions of an artifact, once for all hooks. Never raises for a broken one."""
    return reader.once(_KEY, lambda: _read(reader))


def _read(reader: ArtifactReader) -> Companions:
    companions = Companions()
    names = {file.name for file in reader.artifact.companions}
    for name in READERS:
        if name in names:
            _read_json(reader, name, companions)
    for name in sorted(names):
        if name.lower() == _CARD:
            _read_card(reader, name, companions)
    _find_template(names, companions)
    companions.partials.extend(from_names(reader.artifact))
    return companions


def _find_template(names: set[str], companions: Companions) -> None:
    """Record that a chat template is in a file of its own, or in none of its places."""
    file = next((name for name in _TEMPLATES if name in names), None)
    if file is not None:
        companions.partials.append(ModelMetadata.partial(Origin.CONFIG, file, chat_template=True))
    elif "tokenizer_config.json" in names and not companions.findings:
        companions.partials.append(
            ModelMetadata.partial(Origin.CONFIG, "tokenizer_config.json", chat_template=False)
        )


def _read_json(reader: ArtifactReader, name: str, companions: Companions) -> None:
    try:
        document = _parse_file(reader.file(name))
    except (ReadError, ValueError) as error:
        companions.findings.append(_broken(name, "malformed-config", Severity.WARNING, error))
        return
    partial = READERS[name](document.members, name)
    if name in _OF_THE_MODEL and is_auxiliary(reader.artifact, partial):
        return
    companions.partials.append(partial)
    if not document.strict:
        problem = "holds NaN or Infinity, which JSON has not"
        companions.findings.append(_finding(name, "config-not-strict-json", Severity.INFO, problem))
    ignored = wrong_types(document.members) if name == "config.json" else ()
    if ignored:
        problem = f"{ignored[0]} is of the wrong type"
        companions.findings.append(_finding(name, "config-value-ignored", Severity.INFO, problem))


def is_auxiliary(artifact: Artifact, config: ModelMetadata) -> bool:
    """Whether an artifact is a small file beside a model, and not what a config describes.

    It has a name of its own, and not even a bit for each of the fewest weights that such a model has.
    """
    if config.block_count is None or config.embedding_length is None or is_generic(artifact.weights[0].name):
        return False
    fewest = _MATRICES * config.block_count * config.embedding_length**2
    return artifact.size_bytes * 8 < fewest and not any(
        one.name in _OF_ADAPTERS for one in artifact.companions
    )


def _parse_file(file: FileReader) -> JsonObject:
    if file.size > _MAX_JSON_BYTES:
        raise ValueError(f"has {file.size} bytes, more than the {_MAX_JSON_BYTES} that are read")
    return parse_json(file.read(0, file.size))


def _read_card(reader: ArtifactReader, name: str, companions: Companions) -> None:
    try:
        front = card.parse_card(reader.file(name).read_up_to(0, card.MAX_BYTES))
    except (ReadError, ValueError) as error:
        companions.findings.append(_broken(name, "malformed-card", Severity.INFO, error))
        return
    companions.partials.append(card.from_card(front, name))


def _broken(name: str, code: str, severity: Severity, error: Exception) -> Finding:
    if isinstance(error, ReadError):
        return Finding(code=error.code, severity=severity, message=str(error), file=name, offset=error.offset)
    return _finding(name, code, severity, f"{error}; what it says is left out")


def _finding(name: str, code: str, severity: Severity, problem: str) -> Finding:
    return Finding(code=code, severity=severity, message=f"{name}: {problem[:_MAX_SHOWN]}", file=name)
