"""The value that reading a file's header gives, whatever container it is."""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from attrs import field, frozen

from modelshelf_pytorch.pickle.outcome import Outcome
from modelshelf_pytorch.tensors import Contents
from modelshelf_pytorch.verdict import Issue
from modelshelf_pytorch.zip.directory import Directory

_OTHER_LOADERS = (".data/extern_modules", "archive_format", "serialized_exported_program.json")
"""Records of what torch.package, torch.export and its first releases write; torch.load reads none of it."""


@frozen(kw_only=True, eq=False, repr=False)
class Inspection:
    """What the header of one file says.

    Attributes:
        kind: ``zip`` (a torch.save archive), ``torchscript``, ``exported`` (a program of torch.export),
            ``legacy``, ``pickle``, ``npy``, ``archive`` (a ZIP of something else), ``mobile`` (a flatbuffer
            of PyTorch mobile), ``unreadable`` (a container that is not looked into).
        issues: What was noticed while reading.
        contents: The tensors.
        streams: The pickle streams that were interpreted.
        directory: The central directory, where it is a ZIP.
        root: The folder of the checkpoint in the archive, with its slash, or empty.
        storages: Numbers of the directory's entries that are the storages which its pickles name.
        details: Facts for the metadata's details.
    """

    kind: str
    issues: tuple[Issue, ...] = ()
    contents: Contents = field(factory=Contents)
    streams: tuple[Outcome, ...] = ()
    directory: Directory | None = None
    root: str = ""
    storages: Container[int] = frozenset()
    details: dict[str, Any] = field(factory=dict)

    @property
    def no_checkpoint(self) -> bool:
        """Whether it is a ZIP that no loader of torch takes: no ``data.pkl``, nor what others look for."""
        if self.kind != "archive" or self.directory is None:
            return False
        return all(self.directory.find(self.root + name) is None for name in _OTHER_LOADERS)

    @property
    def bare_pickle(self) -> bool:
        """Whether it is a ZIP whose ``data.pkl`` lies in no folder: an archived pickle, no checkpoint."""
        return self.directory is not None and self.directory.find("data.pkl") is not None
