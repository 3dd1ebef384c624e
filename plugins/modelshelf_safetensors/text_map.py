"""``__metadata__``, the free map of text to text: which of its keys name a thing, what of it is kept."""

from __future__ import annotations

import re
import unicodedata
from itertools import chain, islice
from typing import TYPE_CHECKING

from attrs import define, field

from modelshelf.model import Severity
from modelshelf_safetensors.findings import BoundedFindings, shown
from modelshelf_safetensors.layout import HostileText

if TYPE_CHECKING:
    from collections.abc import Sequence

# The keys of __metadata__ that name a thing, best first: the ModelSpec standard's
# (github.com/Stability-AI/ModelSpec), then those of the trainers and exporters in use.
TITLES = ("modelspec.title", "ss_output_name", "model_name", "title", "name")
ARCHITECTURES = ("modelspec.architecture", "architecture", "model_type")
LICENSES = ("modelspec.license", "license")
BASE_MODELS = ("base_model", "ss_sd_model_name")
TAGS = ("modelspec.tags", "tags")
VERSIONS = ("modelspec.version", "version")

MOST_DETAILS = 64
"""Entries that a record keeps; trainers write hundreds."""

LONGEST_READ = 4096
"""Characters of a value that are looked at for what they say."""

LONGEST_VALUE = 1 << 20
"""Characters of a value that are searched for what is hostile; a longer one is not kept."""

MOST_COMPARED = 1 << 18
"""Keys that are compared for being repeated; trainers write hundreds."""

_NAMING = frozenset(chain(TITLES, ARCHITECTURES, LICENSES, BASE_MODELS, TAGS, VERSIONS))
_TAG = re.compile(r"<\s*/?\s*(?:script|iframe|object|embed|svg|img|style|link|meta|form)\b", re.IGNORECASE)
_SCRIPT = "javascript:"
_HARMLESS = b"\t\n\r" + bytes(range(ord(" "), ord("~") + 1))
_AS_SPACES = str.maketrans("\t\n\r", "   ")


def has_markup(text: str) -> bool:
    """Whether a text has markup in it."""
    return bool("<" in text and _TAG.search(text)) or (":" in text and _SCRIPT in text.lower())


def has_controls(text: str) -> bool:
    """Whether text has controls, or characters that turn its direction; line breaks and tabs aside."""
    if text.isascii():
        return bool(text.encode().translate(None, _HARMLESS))
    return not text.translate(_AS_SPACES).isprintable() and any(
        unicodedata.category(one) in {"Cc", "Cf"} and one not in "\t\n\r" for one in set(text)
    )


@define
class TextMap:
    """The entries of ``__metadata__``, read in order, of which few are kept however many there are.

    Attributes:
        findings: Where what is wrong with an entry is said.
        kept: The entries that are used: the first `MOST_DETAILS`, and those that name a thing; of each value
            the first `LONGEST_READ` characters. Of equal keys the last one's value.
        markup: As in `HostileText`.
        controls: As in `HostileText`.
    """

    findings: BoundedFindings
    kept: dict[str, str] = field(factory=dict, init=False)
    markup: str | None = field(default=None, init=False)
    controls: bool = field(default=False, init=False)
    _compared: set[int] = field(factory=set, init=False)  # hashes: a key may be long
    _count: int = field(default=0, init=False)

    @property
    def hostile(self) -> HostileText:
        """What is hostile in all that was added."""
        return HostileText(markup=self.markup, controls=self.controls)

    def add(self, keys: Sequence[str], values: Sequence[str]) -> None:
        """Add entries of which none is longer than is kept."""
        self._compare(keys)
        # Line breaks are harmless, and part what markup would need together.
        joined = "\n".join(values)
        self.controls = self.controls or has_controls("\n".join(keys)) or has_controls(joined)
        if self.markup is None and ("<" in joined or ":" in joined):
            pairs = zip(keys, values, strict=True)
            self.markup = next((key for key, value in pairs if has_markup(value)), None)
        room = MOST_DETAILS - len(self.kept)
        if room > 0 or not (_NAMING | self.kept.keys()).isdisjoint(keys):
            new = set(islice((key for key in dict.fromkeys(keys) if key not in self.kept), max(room, 0)))
            for key, value in zip(keys, values, strict=True):
                if key in new or key in self.kept or key in _NAMING:
                    self.kept[key] = value[:LONGEST_READ]

    def add_long(self, keys: Sequence[str], values: Sequence[str]) -> None:
        """Add one entry of which the key or the value is longer than is kept; these are their beginnings."""
        self.add(keys, values)
        (key,) = keys
        self.kept.pop(key, None)
        self.findings.add(
            "long-metadata-value",
            Severity.INFO,
            f"entry {shown(key)} of __metadata__ has more than {LONGEST_VALUE} characters; it is not kept",
        )

    def _compare(self, keys: Sequence[str]) -> None:
        """Say which keys stand twice, as far as so many are compared."""
        room = MOST_COMPARED - self._count
        self._count += len(keys)
        hashes = list(map(hash, islice(keys, max(room, 0))))
        repeated = len(hashes) - len(set(hashes) - self._compared)
        if repeated and self.findings.room("duplicate-metadata-key"):
            for key, one in zip(keys, hashes, strict=False):
                if one in self._compared:
                    self._note_repeated(key)
                self._compared.add(one)
        else:
            self.findings.count("duplicate-metadata-key", Severity.WARNING, repeated)
            self._compared.update(hashes)
        if 0 <= room < len(keys):
            self.findings.warn(
                "metadata-not-judged",
                f"__metadata__ has more than {MOST_COMPARED} keys; whether later ones are repeated is not"
                " judged",
            )

    def _note_repeated(self, key: str) -> None:
        self.findings.warn(
            "duplicate-metadata-key", f"__metadata__ holds {shown(key)} twice; the last stands"
        )
