"""Name what beside the weights runs code: chat templates that reach for internals, classes, native libraries.

Source of the names: transformers (`auto_map`, `custom_pipelines`, `chat_template`), diffusers
(`model_index.json`), sentence-transformers (`modules.json`).
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf.model import Finding, Severity
from modelshelf.model.chat_template import MAX_CHARACTERS, template_findings
from modelshelf.model.health import not_judged
from modelshelf_companions.config import READERS
from modelshelf_companions.documents import parse_json

if TYPE_CHECKING:
    from modelshelf.model import ArtifactFile
    from modelshelf.reader import ArtifactReader

_MODULES = "modules.json"
_JSON = frozenset(
    {
        "adapter_config.json",
        "chat_template.json",
        "config.json",
        "generation_config.json",
        "model_index.json",
        _MODULES,
        "preprocessor_config.json",
        "processor_config.json",
        "tokenizer_config.json",
        "video_preprocessor_config.json",
    }
)
_TEMPLATE = ".jinja"
_NATIVE = re.compile(r".+\.(dll|dylib|pyd|so(\.[0-9]+)*)")
_MAX_BYTES = 16 << 20
_MAX_TEMPLATE_BYTES = 4 * MAX_CHARACTERS
_MOST_TEMPLATES = 64  # files; a walk lists one more, so that it shows
_MOST_SHOWN = 3  # names
_MAX_SHOWN = 200  # characters
_PACKAGE = "sentence_transformers."  # classes of it that `modules.json` names are installed code


def code_beside(reader: ArtifactReader) -> Iterator[Finding]:
    """Yield a finding for each companion that carries code, and for each that could not be judged."""
    native: list[str] = []
    templates: list[str] = []
    for file in reader.artifact.companions:
        name = file.name.rpartition("/")[2].lower()
        if _NATIVE.fullmatch(name):
            native.append(file.name)
        elif name in _JSON:
            yield from _code_in(reader, file, name)
        elif name.endswith(_TEMPLATE):
            templates.append(file.name)
            if len(templates) <= _MOST_TEMPLATES:
                yield from _code_in(reader, file, name)
    if len(templates) > _MOST_TEMPLATES:
        message = f"{templates[-1]}: one of more than {_MOST_TEMPLATES} chat templates, which are not judged"
        yield not_judged(message, templates[-1])
    if native:
        shown = ", ".join(native[:_MOST_SHOWN]) + (", …" if len(native) > _MOST_SHOWN else "")
        message = f"{shown[:_MAX_SHOWN]}: machine code beside the weights, which runs where it is loaded"
        yield Finding(code="native-code", severity=Severity.WARNING, message=message, file=native[0])


def _code_in(reader: ArtifactReader, file: ArtifactFile, name: str) -> Iterator[Finding]:
    reported = file.name in READERS  # whoever reads its values warns of one that cannot be read
    most = _MAX_TEMPLATE_BYTES if name.endswith(_TEMPLATE) else _MAX_BYTES
    if file.size > most:
        if not reported:
            message = f"{file.name}: has {file.size} bytes, more than the {most} that are read"
            yield not_judged(message, file.name)
        return
    try:
        opened = reader.file(file.name)
        raw = opened.read(0, opened.size)
    except ReadError as error:
        if not reported:
            yield not_judged(str(error), file.name, error.offset)
        return
    if name.endswith(_TEMPLATE):
        yield from template_findings([raw.decode("utf-8", "replace")], file.name)
        return
    try:
        members = _members(raw, name)
    except ValueError as error:
        if not reported:
            yield not_judged(f"{file.name}: {error}"[:_MAX_SHOWN], file.name)
        return
    yield from template_findings(_templates(members), file.name)
    yield from _classes_of(file.name, members)


def _members(raw: bytes, name: str) -> dict[str, Any]:
    return parse_json(b'{"modules": %b}' % raw if name == _MODULES else raw).members


def _templates(members: dict[str, Any]) -> Iterator[str]:
    """The templates of a document: one, or a list or mapping of named ones."""
    value = members.get("chat_template")
    for one in list(value.values()) if isinstance(value, dict) else _listed(value):
        template = one.get("template") if isinstance(one, dict) else one
        if isinstance(template, str):
            yield template


def _classes_of(file: str, members: dict[str, Any]) -> Iterator[Finding]:
    """Yield what the classes come to that a document names and no installed package has."""
    classes = [*_classes(members)]
    elsewhere = next((name for name in classes if "--" in name), None)
    if elsewhere is not None:
        message = f"{file}: runs code of another repository, {elsewhere[:_MAX_SHOWN]}, which can change"
        yield Finding(code="code-elsewhere", severity=Severity.WARNING, message=message, file=file)
    elif classes:
        message = f"{file}: names own code, {classes[0][:_MAX_SHOWN]}; it needs trust_remote_code"
        yield Finding(code="own-code", severity=Severity.INFO, message=message, file=file)


def _classes(members: dict[str, Any]) -> Iterator[str]:
    """Classes of own or of other repositories' code, in the order of the document, which may nest them."""
    pipeline = members.get("_class_name")
    if isinstance(pipeline, list):
        yield ".".join(name for name in pipeline if isinstance(name, str))
    for module in _listed(members.get("modules")):
        kind = module.get("type") if isinstance(module, dict) else None
        if isinstance(kind, str) and not kind.startswith(_PACKAGE):
            yield kind
    waiting: list[Any] = [members]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            yield from _texts_below(node.get("auto_map"))
            pipelines = node.get("custom_pipelines")
            for one in pipelines.values() if isinstance(pipelines, dict) else ():
                yield from _texts_below(one.get("impl") if isinstance(one, dict) else None)
        members_of_node = node.values() if isinstance(node, dict) else node
        waiting += [one for one in members_of_node if isinstance(one, dict | list)]


def _texts_below(value: Any) -> Iterator[str]:
    """The texts of a text, a list or a mapping, or of those nested in each other."""
    waiting = deque([value])
    while waiting:
        one = waiting.popleft()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict | list):
            waiting += one.values() if isinstance(one, dict) else one


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
