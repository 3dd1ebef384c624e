"""What every command works with: settings, the registry, the screen."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from modelshelf.cli.screen import Screen, complain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from modelshelf.config import Settings
    from modelshelf.model import ModelConfig
    from modelshelf.registry.discovery import ModelDiscovery
    from modelshelf.registry.listing import ModelListing
    from modelshelf.registry.lookup import ModelLookup
    from modelshelf.registry.registry import ModelRegistry
    from modelshelf.store import Store

COMPLETION_VARIABLE = "_MODELSHELF_COMPLETE"
"""Set by a shell that asks how a line goes on; it shows whatever is written."""


class App:
    """The context object of every command, those of plugins included.

    Nothing is read or opened before it is asked for.

    Attributes:
        screen: Standard output, for people.
        settings_path: The configuration file that the command line names, or None.
        plugin_files: One-file plugins that the command line names.
    """

    def __init__(
        self,
        *,
        store: str | None = None,
        config: str | None = None,
        plugin_files: Sequence[str] = (),
        log_format: str = "text",
        verbosity: int = 0,
    ) -> None:
        self._store = store
        self._log = (log_format, verbosity)
        self._logging = False
        self.settings_path = config
        self.plugin_files = tuple(plugin_files)
        self.screen = Screen()

    @cached_property
    def settings(self) -> Settings:
        """The run's settings.

        Raises:
            ConfigurationError: A setting cannot be used.
        """
        from modelshelf.config import load

        return load(store=self._store, config=self.settings_path)

    def begin_logging(self) -> None:
        """Have log records written from now on.

        Whatever is about to load a module that logs asks for it. A command that only looks at the records
        loads none, and `logging` takes longer to load than they do to read.
        """
        if self._logging:
            return
        self._logging = True
        if os.environ.get(COMPLETION_VARIABLE):
            import logging

            logging.getLogger("modelshelf").addHandler(logging.NullHandler())  # nothing beside what was typed
        else:
            from modelshelf.logs import configure

            configure(*self._log)

    @contextmanager
    def registry(
        self, *, readonly: bool = False, makes_store: bool = True, plugins: Sequence[object] = ()
    ) -> Iterator[ModelRegistry]:
        """The registry, open.

        Args:
            readonly: Whether the command only looks. Where there is no store yet it finds an empty registry,
                and makes none.
            makes_store: Whether a command that changes something makes the store that it changes. One that
                only changes what is recorded has no use for an empty one.
            plugins: Plugins of the command's own, beside the installed ones.

        Raises:
            ModelshelfError: It cannot be opened.
        """
        self.begin_logging()
        from modelshelf.registry.empty_store import EmptyStore
        from modelshelf.registry.registry import ModelRegistry

        store = None if makes_store and not readonly else self._store_to_look_at()
        if store is not None and not readonly and not isinstance(store, EmptyStore):
            store.close()
            store = None
        plugins = (*self.plugin_files, *plugins)
        opened = ModelRegistry(
            *self._places(), **self._choices(), plugins=plugins, readonly=readonly, store=store
        )
        with opened as registry, _damage_reported(registry):
            yield registry

    @contextmanager
    def discovery(self) -> Iterator[ModelDiscovery]:
        """What scans; quicker to open than the registry, which can also look up and change.

        Raises:
            ModelshelfError: It cannot be opened.
        """
        self.begin_logging()
        from modelshelf.registry.discovery import ModelDiscovery

        opened = ModelDiscovery(*self._places(), **self._choices(), plugins=self.plugin_files)
        with opened as discovery, _damage_reported(discovery):
            yield discovery

    @contextmanager
    def lookup(self) -> Iterator[ModelLookup]:
        """The records, open to look at; quicker to open than the registry, which can also change them.

        Raises:
            ModelshelfError: They cannot be opened.
        """
        from modelshelf.registry.lookup import ModelLookup

        with ModelLookup(self._store_to_look_at()) as lookup, _damage_reported(lookup):
            yield lookup

    @contextmanager
    def listing(self) -> Iterator[ModelListing]:
        """The records' summaries, open to be listed; the quickest to open.

        Raises:
            ModelshelfError: They cannot be opened.
        """
        from modelshelf.registry.listing import ModelListing

        with ModelListing(self._store_to_look_at()) as listing, _damage_reported(listing):
            yield listing

    def _places(self) -> tuple[str, str]:
        from modelshelf.config import MODELS_FOLDER

        return self.settings.paths[0] if self.settings.paths else MODELS_FOLDER, self.settings.store

    def _choices(self) -> dict[str, Any]:
        return {"blocked": self.settings.disable_plugins, "sources": self.settings.sources}

    def _store_to_look_at(self) -> Store:
        """The store, open for reading only; an empty one where there is none yet, which makes none."""
        from modelshelf.errors import StoreAbsentError
        from modelshelf.registry.open_store import open_builtin, open_guarded

        location, blocked = self.settings.store, self.settings.disable_plugins
        try:
            store = open_builtin(location, blocked, readonly=True)
            if store is None:
                self.begin_logging()
                store = open_guarded(location, self.plugin_files, blocked, readonly=True)
        except StoreAbsentError:
            from modelshelf.registry.empty_store import EmptyStore

            store = EmptyStore(location)
        return store

    def write(self, chunks: Iterable[bytes]) -> None:
        """Write machine output to standard output."""
        sys.stdout.flush()
        stream = sys.stdout.buffer
        for chunk in chunks:
            stream.write(chunk)
        stream.flush()

    def write_json(self, value: Any) -> None:
        """Write a value as JSON, everything beyond ASCII escaped."""
        import json

        self.write([json.dumps(value, indent=2).encode() + b"\n"])

    def as_json(self, registry: ModelDiscovery, models: Iterable[ModelConfig]) -> list[dict[str, Any]]:
        """The records as ``ls --format json`` writes them, to be put into a larger document."""
        import json

        records: list[dict[str, Any]] = json.loads(b"".join(registry.serializer("json").dump(models)))
        return records


@contextmanager
def _damage_reported(listing: ModelListing) -> Iterator[None]:
    """Name each record that a listing had to leave out, and end the command with exit code 1 then."""
    damaged: dict[str, None] = {}
    listing.on_damage = lambda error: damaged.setdefault(str(error))
    yield
    for message in damaged:
        complain(f"error: {message}")
    if damaged:
        raise click.exceptions.Exit(1)
