"""What every command works with: settings, the registry, the screen."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, TypeVar

import click

from modelshelf.cli.screen import Screen, complain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from modelshelf.config import Settings
    from modelshelf.model import ModelConfig
    from modelshelf.registry.discovery import ModelDiscovery
    from modelshelf.registry.listing import ModelListing
    from modelshelf.registry.lookup import ModelLookup
    from modelshelf.registry.registry import ModelRegistry
    from modelshelf.store import Store

T = TypeVar("T")

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
    def registry(self, *, readonly: bool = False, plugins: Sequence[object] = ()) -> Iterator[ModelRegistry]:
        """The registry, open.

        Args:
            readonly: Whether the command only looks. A store that is not there yet is made all the same, so
                that looking at a new registry shows an empty one instead of failing.
            plugins: Plugins of the command's own, beside the installed ones.

        Raises:
            ModelshelfError: It cannot be opened.
        """
        with _opened(partial(self._open, plugins), readonly=readonly) as registry, _damage_reported(registry):
            yield registry

    @contextmanager
    def discovery(self) -> Iterator[ModelDiscovery]:
        """What scans; quicker to open than the registry, which can also look up and change.

        Raises:
            ModelshelfError: It cannot be opened.
        """
        with _opened(self._open_to_scan, readonly=False) as discovery, _damage_reported(discovery):
            yield discovery

    @contextmanager
    def lookup(self) -> Iterator[ModelLookup]:
        """The records, open to look at; quicker to open than the registry, which can also change them.

        Raises:
            ModelshelfError: They cannot be opened.
        """
        from modelshelf.registry.lookup import ModelLookup

        with ModelLookup(_opened(self._open_store, readonly=True)) as lookup, _damage_reported(lookup):
            yield lookup

    @contextmanager
    def listing(self) -> Iterator[ModelListing]:
        """The records' summaries, open to be listed; the quickest to open.

        Raises:
            ModelshelfError: They cannot be opened.
        """
        from modelshelf.registry.listing import ModelListing

        with ModelListing(_opened(self._open_store, readonly=True)) as listing, _damage_reported(listing):
            yield listing

    def _open(self, plugins: Sequence[object], *, readonly: bool) -> ModelRegistry:
        self.begin_logging()
        from modelshelf.registry.registry import ModelRegistry

        plugins = (*self.plugin_files, *plugins)
        return ModelRegistry(*self._places(), **self._choices(), plugins=plugins, readonly=readonly)

    def _open_to_scan(self, *, readonly: bool) -> ModelDiscovery:
        self.begin_logging()
        from modelshelf.registry.discovery import ModelDiscovery

        plugins = self.plugin_files
        return ModelDiscovery(*self._places(), **self._choices(), plugins=plugins, readonly=readonly)

    def _places(self) -> tuple[str, str]:
        from modelshelf.config import MODELS_FOLDER

        return self.settings.paths[0] if self.settings.paths else MODELS_FOLDER, self.settings.store

    def _choices(self) -> dict[str, Any]:
        return {"blocked": self.settings.disable_plugins, "sources": self.settings.sources}

    def _open_store(self, *, readonly: bool) -> Store:
        from modelshelf.registry.open_store import open_builtin, open_guarded

        settings = self.settings
        store = open_builtin(settings.store, settings.disable_plugins, readonly=readonly)
        if store is None:
            self.begin_logging()
            blocked = settings.disable_plugins
            store = open_guarded(settings.store, self.plugin_files, blocked, readonly=readonly)
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


def _opened(opening: Callable[..., T], *, readonly: bool) -> T:
    from modelshelf.errors import StoreUnavailableError

    try:
        return opening(readonly=readonly)
    except StoreUnavailableError:
        if not readonly:
            raise
        return opening(readonly=False)
