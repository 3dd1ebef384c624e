"""Find what the chat templates of a header reach for; a text too long to be kept is read from the file.

Source of the keys: the `gguf` package's `Keys.Tokenizer`, all of which begin alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from modelshelf.errors import ReadError
from modelshelf.model.chat_template import MAX_CHARACTERS, template_findings
from modelshelf.model.health import not_judged
from modelshelf_gguf import keys
from modelshelf_gguf.layout import ValueType, layout_of

if TYPE_CHECKING:
    from modelshelf.model import Finding
    from modelshelf.reader import ArtifactReader
    from modelshelf_gguf.header import Field, Header

_LONGEST_CHARACTER = 4  # bytes in UTF-8


def chat_template_findings(header: Header, reader: ArtifactReader) -> Iterator[Finding]:
    """Judge the chat templates of one file; one that is too long, or cannot be read, is not judged."""
    fields = [field for key, field in header.fields.items() if key.startswith(keys.CHAT_TEMPLATE)]
    if not fields:
        return
    texts: list[str] = []
    for field in fields:
        try:
            found = _texts_of(header, field, reader)
        except ReadError as error:
            yield not_judged(str(error), header.file, error.offset)
            continue
        if found is None:
            message = f"{header.file}: {field.key!r} is longer than what is judged"
            yield not_judged(message, header.file, field.offset)
        else:
            texts += found
    yield from template_findings(texts, header.file)


def _texts_of(header: Header, field: Field, reader: ArtifactReader) -> tuple[str, ...] | None:
    """The texts of a field, none of a number; None where they are too many or too long."""
    if field.kind is ValueType.STRING and field.value is None:
        text = _long_text(header, field, reader)
        return None if text is None else (text,)
    if field.kind is ValueType.STRING:
        return (field.value,)
    if field.kind is not ValueType.ARRAY or field.item_kind not in (ValueType.STRING, ValueType.ARRAY):
        return ()
    if field.item_kind is ValueType.ARRAY or field.value is None:
        return None
    return tuple(field.value)


def _long_text(header: Header, field: Field, reader: ArtifactReader) -> str | None:
    """Read a text that the parser passed over; None where it is longer than what is judged."""
    length = field.length or 0
    if length > MAX_CHARACTERS * _LONGEST_CHARACTER:
        return None
    layout = layout_of(header.version, "<" if header.byte_order == "little" else ">")
    start = field.offset + 2 * layout.length.size + len(field.key.encode()) + layout.u32.size
    return reader.file(header.file).read(start, length).decode(errors="replace")
