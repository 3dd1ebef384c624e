"""Versions of models, ordered as Semantic Versioning 2.0.0 orders them (https://semver.org, section 11).

Written by hand because the package semver takes versions that differ in build metadata alone for equal, while
both can be registered, and `packaging.version` follows PEP 440.
"""

from __future__ import annotations

import re
from functools import total_ordering
from typing import Any, Self

from attrs import field, frozen

from modelshelf.errors import InvalidVersionError

_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_PATTERN = re.compile(
    rf"(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(?:-({_IDENTIFIERS}))?(?:\+({_IDENTIFIERS}))?"
)
_LONGEST = 256  # characters; keeps hostile text out of int() and of the store's keys


def _check_number(_instance: ModelVersion, attribute: Any, value: Any) -> None:
    if type(value) is not int or value < 0:
        raise InvalidVersionError(value, f"{attribute.name} must be an integer of 0 or more")


def _check_identifiers(_instance: ModelVersion, attribute: Any, value: Any) -> None:
    if value is None:
        return
    if not isinstance(value, str) or not re.fullmatch(_IDENTIFIERS, value):
        raise InvalidVersionError(value, "identifiers are letters, digits and hyphens, joined by dots")
    if attribute.name == "prerelease":
        for part in value.split("."):
            if part.isdigit() and len(part) > 1 and part.startswith("0"):
                raise InvalidVersionError(value, "a numeric pre-release identifier has no leading zero")


@total_ordering
@frozen(kw_only=True, eq=True, order=False)
class ModelVersion:
    """A semantic version.

    Equality is exact (``1.0.0+a`` is not ``1.0.0+b``: both can be registered side by side); `compare`
    follows precedence, where build metadata does not count. Sorting breaks a tie of precedence by
    build metadata, so that an order is total and deterministic.

    Attributes:
        major: Incompatible change.
        minor: Compatible addition.
        patch: Compatible fix; changed bytes at one place make a new one.
        prerelease: Dot-separated identifiers after ``-``, or None.
        build: Dot-separated identifiers after ``+``, or None.
    """

    major: int = field(validator=_check_number)
    minor: int = field(default=0, validator=_check_number)
    patch: int = field(default=0, validator=_check_number)
    prerelease: str | None = field(default=None, validator=_check_identifiers)
    build: str | None = field(default=None, validator=_check_identifiers)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``MAJOR.MINOR.PATCH[-PRERELEASE][+BUILD]``.

        Raises:
            InvalidVersionError: The text is not a version; the error names it.
        """
        if not isinstance(text, str):
            raise InvalidVersionError(text, "expected text")
        if len(text) > _LONGEST:
            raise InvalidVersionError(text[:40] + "…", f"longer than {_LONGEST} characters")
        match = _PATTERN.fullmatch(text)
        if match is None:
            raise InvalidVersionError(text)
        major, minor, patch, prerelease, build = match.groups()
        try:
            return cls(
                major=int(major), minor=int(minor), patch=int(patch), prerelease=prerelease, build=build
            )
        except InvalidVersionError as error:
            raise InvalidVersionError(text, str(error).split(": ", 1)[-1]) from None

    @property
    def precedence(self) -> tuple[object, ...]:
        """A key that sorts as SemVer precedence does; build metadata is not in it."""
        if self.prerelease is None:
            return (self.major, self.minor, self.patch, 1)
        parts = tuple(
            (0, int(part), "") if part.isdigit() else (1, 0, part) for part in self.prerelease.split(".")
        )
        return (self.major, self.minor, self.patch, 0, parts)

    def compare(self, other: ModelVersion) -> int:
        """Compare by precedence: negative when older than `other`, zero when equal, positive when newer."""
        mine, theirs = self.precedence, other.precedence
        return (mine > theirs) - (mine < theirs)

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, ModelVersion):
            return NotImplemented
        order = self.compare(other)
        return order < 0 or (order == 0 and (self.build or "") < (other.build or ""))

    def __str__(self) -> str:
        text = f"{self.major}.{self.minor}.{self.patch}"
        if self.prerelease is not None:
            text += f"-{self.prerelease}"
        if self.build is not None:
            text += f"+{self.build}"
        return text

    def next_patch(self) -> ModelVersion:
        """The version that changed bytes at the same place get."""
        return ModelVersion(major=self.major, minor=self.minor, patch=self.patch + 1)
