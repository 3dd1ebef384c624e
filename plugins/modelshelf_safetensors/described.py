"""``__metadata__``: which of its keys name a thing, what of it is kept, and what in it is hostile."""

from __future__ import annotations

import re
import unicodedata
from array import array
from itertools import chain, islice
from typing import TYPE_CHECKING

from attrs import define, field

from modelshelf_safetensors.compact import Names, all_distinct, repeated
from modelshelf_safetensors.findings import MOST_NAMED, shown
from modelshelf_safetensors.layout import HostileText

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modelshelf_safetensors.findings import BoundedFindings

# The keys of __metadata__ that name a thing, best first: the ModelSpec standard's
# (github.com/Stability-AI/ModelSpec), then those of the trainers and exporters in use.
TITLES = ("modelspec.title", "ss_output_name", "model_name", "title", "name")
ARCHITECTURES = ("modelspec.architecture", "architecture", "model_type")
LICENSES = ("modelspec.license", "license")
BASE_MODELS = ("base_model", "ss_sd_model_name")
TAGS = ("modelspec.tags", "tags")
VERSIONS = ("modelspec.version", "version")

MOST_DETAILS = 64
"""Entries of ``__metadata__`` that a record keeps; trainers write hundreds."""

LONGEST_READ = 4096
"""Characters of a value that are looked at for what they say."""

LOOKED_THROUGH = 1 << 20
"""Characters of a value that are searched for what is hostile."""

_NAMING = frozenset(chain(TITLES, ARCHITECTURES, LICENSES, BASE_MODELS, TAGS, VERSIONS))
_TAG = re.compile(r"<\s*/?\s*(?:script|iframe|object|embed|svg|img|style|link|meta|form)\b", re.IGNORECASE)
_SCRIPT = "javascript:"
_HARMLESS = b"\t\n\r" + bytes(range(ord(" "), ord("~") + 1))
_AS_SPACES = str.maketrans("\t\n\r", "   ")


def holds_markup(text: str) -> bool:
    """Whether the beginning of a text holds markup."""
    text = text[:LOOKED_THROUGH]
    return bool("<" in text and _TAG.search(text)) or (":" in text and _SCRIPT in text.lower())


def holds_controls(text: str) -> bool:
    """Whether text holds controls, or characters that turn its direction; line breaks and tabs aside."""
    if text.isascii():
        return bool(text.encode().translate(None, _HARMLESS))
    return not text.translate(_AS_SPACES).isprintable() and any(
        unicodedata.category(one) in {"Cc", "Cf"} and one not in "\t\n\r" for one in set(text)
    )


def hostile_text(metadata: Mapping[str, str]) -> HostileText:
    """What is hostile in ``__metadata__``."""
    return HostileText(
        markup=next((key for key, text in metadata.items() if holds_markup(text)), None),
        controls=any(holds_controls(text[:LOOKED_THROUGH]) for text in chain(metadata, metadata.values())),
    )


@define
class Description:
    """``__metadata__`` of any length on its way.

    Attributes:
        kept: The entries that are used: the first, and those that name a thing; values cut.
        markup: As in `HostileText`.
        controls: As in `HostileText`.
    """

    kept: dict[str, str] = field(factory=dict, init=False)
    markup: str | None = field(default=None, init=False)
    controls: bool = field(default=False, init=False)
    _keys: Names = field(factory=Names, init=False)
    _hashes: array[int] = field(factory=lambda: array("q"), init=False)
    # Keys whose values matter: those that name a thing, and those that are kept already.
    _wanted: set[bytes] = field(factory=lambda: {one.encode() for one in _NAMING}, init=False)

    @property
    def hostile(self) -> HostileText:
        """What is hostile in all that was added."""
        return HostileText(markup=self.markup, controls=self.controls)

    def add(self, keys: list[bytes], values: list[bytes]) -> None:
        """Take in entries: keys and values as UTF-8."""
        self._keys.add(keys)
        self._hashes.extend(map(hash, keys))
        # Line breaks are no control characters that are told of, and part what markup would need together.
        named, told = b"\n".join(keys).decode(), b"\n".join(values).decode()
        if not self.controls:
            self.controls = holds_controls(named) or (
                holds_controls(told)
                and any(holds_controls(value.decode()[:LOOKED_THROUGH]) for value in values)
            )
        if self.markup is None and ("<" in told or ":" in told):
            at = (key for key, value in zip(keys, values, strict=True) if holds_markup(value.decode()))
            self.markup = next((key.decode() for key in at), None)
        if len(self.kept) < MOST_DETAILS or not self._wanted.isdisjoint(keys):
            last = dict(zip(keys, values, strict=True))
            room = MOST_DETAILS - len(self.kept)
            wanted = last.keys() & self._wanted
            if room > 0:
                new = (key for key in last if key not in self._wanted)
                wanted |= set(islice(new, room))
                self._wanted |= wanted
            for key in last if len(wanted) > 1 else wanted:
                if key in wanted:
                    # No character takes more than four bytes.
                    told = last[key][: 4 * LONGEST_READ].decode(errors="ignore")
                    self.kept[key.decode()] = told[:LONGEST_READ]

    def finish(self, findings: BoundedFindings) -> None:
        """Tell of keys that stand twice."""
        if all_distinct(self._hashes):
            return
        told = repeated(self._hashes, MOST_NAMED)
        for row in told.first:
            note_repeated_key(self._keys[row], findings)
        findings.count_warnings("duplicate-metadata-key", told.count - len(told.first))


def note_repeated_key(key: str, findings: BoundedFindings) -> None:
    """Say that a key of ``__metadata__`` stands twice."""
    findings.warn("duplicate-metadata-key", f"__metadata__ holds {shown(key)} twice; the last stands")
