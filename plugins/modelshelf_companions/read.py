"""Read the companions of one artifact together: their metadata, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.errors import BudgetExceededError, ReadError
from modelshelf.model import Finding, ModelMetadata, Origin, Severity
from modelshelf.model.chat_template import MAX_CHARACTERS
from modelshelf.model.health import not_judged
from modelshelf.model.kind import Kind, capabilities_of_template
from modelshelf.model.names import is_generic
from modelshelf_companions import card
from modelshelf_companions.config import READERS, wrong_types
from modelshelf_companions.documents import JsonObject, parse_json, parse_list
from modelshelf_companions.names import from_names

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.reader import ArtifactReader, FileReader

_KEY = "companions"
_MODULES = "modules.json"
_MAX_MODULES_BYTES = 1 << 16
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
    is_part = False
    for name in READERS:
        if name in names and not (name == "adapter_config.json" and "config.json" in names):
            is_part = _read_json(reader, name, companions) or is_part
    if _MODULES in names and not is_part:
        _read_modules(reader, companions)
    for name in sorted(names):
        if name.lower() == _CARD:
            _read_card(reader, name, companions, is_part=is_part)
    _find_template(reader, names, companions)
    companions.partials.extend(from_names(reader.artifact))
    return companions


def _read_modules(reader: ArtifactReader, companions: Companions) -> None:
    """Read the list of modules that sentence-transformers puts one behind another: all of them embed."""
    try:
        file = reader.file(_MODULES)
        listed = parse_list(file.read_up_to(0, _MAX_MODULES_BYTES))
    except (ReadError, ValueError) as error:
        companions.findings.append(_broken(_MODULES, "malformed-config", Severity.WARNING, error))
        return
    types = [str(one.get("type")) for one in listed if isinstance(one, dict)]
    if any(one.startswith("sentence_transformers.") for one in types):
        kind = Kind.EMBEDDING.value
        companions.partials.insert(0, ModelMetadata.partial(Origin.CONFIG, _MODULES, kind=kind))


def _find_template(reader: ArtifactReader, names: set[str], companions: Companions) -> None:
    """Record that a chat template is in a file of its own, or in none of its places, and what it shows."""
    file = next((name for name in _TEMPLATES if name in names), None)
    if file is not None:
        try:
            text = reader.file(file).read_up_to(0, MAX_CHARACTERS).decode("utf-8", "replace")
        except ReadError:  # `code` says so
            text = ""
        able = capabilities_of_template(text) or None
        companions.partials.append(
            ModelMetadata.partial(Origin.CONFIG, file, chat_template=True, capabilities=able)
        )
    elif "tokenizer_config.json" in names and not companions.findings:
        companions.partials.append(
            ModelMetadata.partial(Origin.CONFIG, "tokenizer_config.json", chat_template=False)
        )


def _read_json(reader: ArtifactReader, name: str, companions: Companions) -> bool:
    """Read a configuration; return whether it describes another model, of which this is a small part."""
    try:
        document = _parse_file(reader.file(name))
    except ReadError as error:  # a limit, or the system: it may name code
        companions.findings.append(not_judged(str(error), name, error.offset))
        return False
    except ValueError as error:
        companions.findings.append(_broken(name, "malformed-config", Severity.WARNING, error))
        return False
    partial = READERS[name](document.members, name)
    if name in _OF_THE_MODEL and is_auxiliary(reader.artifact, partial):
        return True
    companions.partials.append(partial)
    if not document.strict:
        problem = "holds NaN or Infinity, which JSON has not"
        companions.findings.append(_finding(name, "config-not-strict-json", Severity.INFO, problem))
    ignored = wrong_types(document.members) if name == "config.json" else ()
    if ignored:
        problem = f"{ignored[0]} is of the wrong type"
        companions.findings.append(_finding(name, "config-value-ignored", Severity.INFO, problem))
    return False


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
        message = f"{file.name}: has {file.size} bytes, more than the {_MAX_JSON_BYTES} that are read"
        raise BudgetExceededError(message, file=file.name)
    return parse_json(file.read(0, file.size))


def _read_card(reader: ArtifactReader, name: str, companions: Companions, *, is_part: bool) -> None:
    try:
        front = card.parse_card(reader.file(name).read_up_to(0, card.MAX_BYTES))
    except (ReadError, ValueError) as error:
        companions.findings.append(_broken(name, "malformed-card", Severity.INFO, error))
        return
    companions.partials.append(card.from_card(front, name, is_part=is_part))


def _broken(name: str, code: str, severity: Severity, error: Exception) -> Finding:
    if isinstance(error, ReadError):
        return Finding(code=error.code, severity=severity, message=str(error), file=name, offset=error.offset)
    return _finding(name, code, severity, f"{error}; what it says is left out")


def _finding(name: str, code: str, severity: Severity, problem: str) -> Finding:
    return Finding(code=code, severity=severity, message=f"{name}: {problem[:_MAX_SHOWN]}", file=name)
