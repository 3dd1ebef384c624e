"""Every exception that Modelshelf raises on purpose.

::

    ModelshelfError
    ├── InvalidValueError (also ValueError)      a value that cannot be
    │   ├── InvalidVersionError                  text that is no SemVer 2.0.0 version
    │   └── InvalidModelError                    a field of a model, with the model's id
    ├── RegistryError
    │   ├── UnknownModelError (also KeyError)    an id, or an id and version, that is not registered
    │   ├── AmbiguousNameError                   a name that several models answer to
    │   ├── DuplicateModelError                  an id and version that is registered already
    │   └── RegistryClosedError                  a call after close()
    ├── ReadError                                the file's fault: becomes a finding, never a crash
    │   ├── FormatError                          bytes that break the format's rules
    │   ├── TruncatedFileError                   bytes asked for past the end of the file
    │   ├── BudgetExceededError                  more bytes asked for than one artifact may cost
    │   ├── FileChangedError                     the file changed while it was read
    │   └── UnreadableFileError                  permission, FIFO, device, vanished
    ├── StoreError
    │   ├── StoreUnavailableError                cannot be opened or locked
    │   │   └── StoreAbsentError                 there is none yet, and none may be made
    │   ├── StoreFullError                       the disk is full; what was committed is kept
    │   └── DamagedStoreError                    bytes that do not match their checksum
    ├── PluginError
    │   ├── PluginLoadError                      import, signature or name of a hook
    │   ├── HookError                            a hook raised or gave the wrong type
    │   └── PluginTimeoutError                   a hook ran past its time budget
    ├── SourceError                              a place that cannot be listed
    ├── SerializerError                          an unknown serializer, or records it cannot write
    └── ConfigurationError                       a setting that cannot be used

A message says what is wrong, where, and what to do about it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "AmbiguousNameError",
    "BudgetExceededError",
    "ConfigurationError",
    "DamagedStoreError",
    "DuplicateModelError",
    "FileChangedError",
    "FormatError",
    "HookError",
    "InvalidModelError",
    "InvalidValueError",
    "InvalidVersionError",
    "ModelshelfError",
    "PluginError",
    "PluginLoadError",
    "PluginTimeoutError",
    "ReadError",
    "RegistryClosedError",
    "RegistryError",
    "SerializerError",
    "SourceError",
    "StoreAbsentError",
    "StoreError",
    "StoreFullError",
    "StoreUnavailableError",
    "TruncatedFileError",
    "UnknownModelError",
    "UnreadableFileError",
]

_MOST_SHOWN = 5  # ids in a message


class ModelshelfError(Exception):
    """The root of the tree: catch this to catch all that Modelshelf raises on purpose."""

    def __str__(self) -> str:
        """The message alone, also where a subclass is a KeyError (which would show its repr)."""
        return str(self.args[0]) if self.args else type(self).__name__


class InvalidValueError(ModelshelfError, ValueError):
    """A value that cannot be what it was given for."""


class InvalidVersionError(InvalidValueError):
    """Text that is not a SemVer 2.0.0 version.

    Attributes:
        text: The text as it was given.
    """

    def __init__(self, text: object, reason: str = "expected MAJOR.MINOR.PATCH, as in 1.2.3") -> None:
        super().__init__(f"invalid version {text!r}: {reason}")
        self.text = text


class InvalidModelError(InvalidValueError):
    """A field of a model with an impossible value.

    Attributes:
        model_id: The model's id.
        field: The field's name.
    """

    def __init__(self, model_id: str, field: str, reason: str) -> None:
        super().__init__(f"model {model_id!r}: {field} {reason}")
        self.model_id = model_id
        self.field = field


class RegistryError(ModelshelfError):
    """A call that does not fit what is registered."""


class UnknownModelError(RegistryError, KeyError):
    """An id, or an id and version, that is not registered.

    Attributes:
        model_id: The id that was asked for.
        close: The ids that are most like it.
    """

    def __init__(self, model_id: str, version: object = None, *, close: tuple[str, ...] = ()) -> None:
        what = f"model {model_id!r}" + ("" if version is None else f" version {version}")
        names = ", ".join(map(repr, close))
        hint = f"did you mean {names}?" if close else "`modelshelf ls` lists what is"
        super().__init__(f"{what} is not in the registry; {hint}")
        self.model_id = model_id
        self.close = close


class AmbiguousNameError(RegistryError):
    """A name that several models answer to.

    Attributes:
        name: The name.
        model_ids: Ids of those models.
    """

    def __init__(self, name: str, model_ids: Sequence[str]) -> None:
        shown = ", ".join(map(repr, model_ids[:_MOST_SHOWN]))
        more = f" and {len(model_ids) - _MOST_SHOWN} more" if len(model_ids) > _MOST_SHOWN else ""
        super().__init__(f"{name!r} may be any of {len(model_ids)} models: {shown}{more}; give a whole id")
        self.name = name
        self.model_ids = tuple(model_ids)


class DuplicateModelError(RegistryError):
    """An id and version that is registered already.

    Attributes:
        model_id: The id that was to be registered.
    """

    def __init__(self, model_id: str, version: object) -> None:
        super().__init__(
            f"model {model_id!r} version {version} is registered already; use update() to change it"
        )
        self.model_id = model_id


class RegistryClosedError(RegistryError):
    """A call on a registry after close()."""


class ReadError(ModelshelfError):
    """The fault of a file that is being read; the core turns it into a finding of severity error.

    Attributes:
        code: A short kebab-case name of the fault, stable across releases.
        file: The file's name relative to its artifact's folder, when known.
        offset: The byte offset of the fault, when known.
    """

    code = "unreadable"

    def __init__(
        self, message: str, *, code: str | None = None, file: str | None = None, offset: int | None = None
    ) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code
        self.file = file
        self.offset = offset


class FormatError(ReadError):
    """Bytes that break the rules of their format."""

    code = "malformed"


class TruncatedFileError(ReadError):
    """Bytes were asked for that lie past the end of the file."""

    code = "truncated"


class BudgetExceededError(ReadError):
    """Reading one artifact asked for more bytes than its budget allows."""

    code = "budget-exceeded"


class FileChangedError(ReadError):
    """The file's size or modification time changed between two looks."""

    code = "changed-while-read"


class UnreadableFileError(ReadError):
    """The file cannot be opened as a regular file."""

    code = "unreadable"


class StoreError(ModelshelfError):
    """The store could not do what was asked."""


class StoreUnavailableError(StoreError):
    """The store cannot be opened, locked or reached."""


class StoreAbsentError(StoreUnavailableError):
    """There is no store at that place yet, and it was to be opened for reading only, which makes none."""


class StoreFullError(StoreError):
    """There is no room for the write; everything acknowledged before it is kept."""


class DamagedStoreError(StoreError):
    """Stored bytes do not match their checksum, or the store's file is not whole."""


class PluginError(ModelshelfError):
    """A plugin failed; only its own contribution is lost.

    Attributes:
        plugin: The plugin's display name, ``distribution[entry]``.
    """

    def __init__(self, plugin: str, message: str) -> None:
        super().__init__(f"{plugin}: {message}")
        self.plugin = plugin


class PluginLoadError(PluginError):
    """A plugin could not be imported, or its hooks do not fit the specification."""


class HookError(PluginError):
    """A plugin's hook raised, or gave back something of the wrong type."""


class PluginTimeoutError(PluginError):
    """A plugin's hook ran past its time budget."""


class SourceError(ModelshelfError):
    """A place where models lie cannot be listed."""


class SerializerError(ModelshelfError):
    """No serializer has that name, or it cannot write these records."""


class ConfigurationError(ModelshelfError):
    """A setting that cannot be used."""
