"""Name what beside the weights runs code: chat templates that reach for internals, and ``auto_map``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modelshelf.errors import ReadError
from modelshelf.model import Finding, Severity
from modelshelf.model.health import not_judged
from modelshelf_companions.config import READERS
from modelshelf_companions.documents import parse_json
from modelshelf_companions.templates import MAX_CHARACTERS, suspicions

if TYPE_CHECKING:
    from modelshelf.reader import ArtifactReader

_JSON = frozenset({"config.json", "tokenizer_config.json", "chat_template.json"})
_TEMPLATE = "chat_template.jinja"
_MAX_BYTES = 16 << 20
_MOST = 64  # templates, and classes of an auto_map
_MAX_SHOWN = 200  # characters


def code_beside(reader: ArtifactReader) -> Iterator[Finding]:
    """Yield a finding for each companion that carries code, and for each that could not be judged."""
    for file in reader.artifact.companions:
        name = file.name.rpartition("/")[2].lower()
        if name not in _JSON and name != _TEMPLATE:
            continue
        reported = file.name in READERS  # whoever reads its values warns of one that cannot be read
        if file.size > _MAX_BYTES:
            message = f"{file.name}: has {file.size} bytes, more than the {_MAX_BYTES} that are read"
            if not reported:
                yield not_judged(message, file.name)
            continue
        try:
            opened = reader.file(file.name)
            raw = opened.read(0, opened.size)
        except ReadError as error:
            if not reported:
                yield not_judged(str(error), file.name, error.offset)
            continue
        if name == _TEMPLATE:
            yield from _judge(file.name, raw.decode("utf-8", "replace"))
            continue
        try:
            members = parse_json(raw).members
        except ValueError as error:
            if not reported:
                yield not_judged(f"{file.name}: {error}"[:_MAX_SHOWN], file.name)
            continue
        yield from _templates(file.name, members.get("chat_template"))
        yield from _auto_map(file.name, members.get("auto_map"))


def _templates(file: str, value: Any) -> Iterator[Finding]:
    """Judge a template, or a list or mapping of named ones."""
    named = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    if len(named) > _MOST:
        yield not_judged(f"{file}: has {len(named)} chat templates; {_MOST} are read", file)
    for one in named[:_MOST]:
        template = one.get("template") if isinstance(one, dict) else one
        if isinstance(template, str):
            yield from _judge(file, template)


def _judge(file: str, template: str) -> Iterator[Finding]:
    if len(template) > MAX_CHARACTERS:
        message = f"{file}: a chat template of {len(template)} characters; {MAX_CHARACTERS} are read"
        yield not_judged(message, file)
        return
    found = suspicions(template)
    if found:
        message = (
            f"{file}: a chat template {'; '.join(found)[:_MAX_SHOWN]}: no template needs it; do not render it"
        )
        yield Finding(code="template-reaches-out", severity=Severity.WARNING, message=message, file=file)


def _auto_map(file: str, value: Any) -> Iterator[Finding]:
    if not isinstance(value, dict) or not value:
        return
    classes: list[str] = []
    for one in value.values():
        classes += [name for name in (one if isinstance(one, list) else [one]) if isinstance(name, str)]
    elsewhere = next((name for name in classes if "--" in name), None)
    if elsewhere is not None:
        message = (
            f"{file}: auto_map runs code of another repository, {elsewhere[:_MAX_SHOWN]}, which can change"
        )
        yield Finding(code="code-elsewhere", severity=Severity.WARNING, message=message, file=file)
    elif classes:
        message = f"{file}: auto_map names own code, {classes[0][:_MAX_SHOWN]}; it needs trust_remote_code"
        yield Finding(code="own-code", severity=Severity.INFO, message=message, file=file)
