"""The hooks: what a plugin may offer. Every one is optional.

A plugin is a module named by an entry point in group ``modelshelf``::

    [project.entry-points.modelshelf]
    myformat = "modelshelf_myformat"

Each function of that module whose name begins with ``modelshelf_`` implements the hook of that name; no
decorator is needed. A hook takes the arguments it wants, by name, out of those below. A misspelt name, an
argument that is not below, an exception or a result of the wrong type costs that plugin's contribution
only: it is recorded, shown by ``modelshelf plugins``, and counted in the scan.

The decorator ``modelshelf.hookimpl`` is pluggy's marker and takes its options: ``tryfirst`` and ``trylast``
for the order, ``specname`` for a function of another name, and ``optionalhook`` for a hook that an older
release may not know. Wrappers are refused: each implementation is called by itself, so there is nothing to
wrap.

Hooks are called in worker processes and in any thread of a program, at the same time where several threads
scan or ask: what a plugin keeps in its module is each process's own, and has to be safe between threads. Each
call blocks until it is done; none is awaited.

Heavy imports belong inside the hooks: a plugin module is imported whenever something needs its hooks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from modelshelf.plugin import PROJECT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.command import CommandType
    from modelshelf.model import (
        Artifact,
        Candidate,
        Depth,
        Detection,
        Finding,
        FormatType,
        MemoryEstimate,
        MemoryRequest,
        ModelConfig,
        ModelEvent,
        ModelMetadata,
        TensorPlaces,
    )
    from modelshelf.reader import ArtifactReader
    from modelshelf.serializer import SerializerType
    from modelshelf.source import SourceType
    from modelshelf.store import StoreType

PREFIX = "modelshelf_"
"""How the name of every hook begins."""

HOOK_SECONDS = 60.0
"""Time that a hook has for one artifact; at depth full, time in which it reads nothing. Then it is ended."""

_hookspec = pluggy.HookspecMarker(PROJECT)


@_hookspec
def modelshelf_formats() -> Iterable[FormatType]:  # type: ignore[empty-body]
    """Return which files the plugin wants to see. Called once.

    Example::

        def modelshelf_formats():
            yield FormatType(name="npz", suffixes=(".npz",), magic=((0, b"PK"),))
    """


@_hookspec
def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    r"""Vote on what a candidate is, or give None. Called for every new or changed artifact, in any process.

    Every plugin votes; the highest confidence wins, and a tie goes to the format whose suffix it is, then
    to the first name in the alphabet. Look at ``candidate.head`` before reading more.

    Example::

        def modelshelf_detect_format(candidate):
            if candidate.head.startswith(b"\x93NUMPY"):
                return Detection(format="npy", confidence=0.9, evidence="magic bytes 93 'NUMPY'")
    """


@_hookspec
def modelshelf_extract_metadata(
    artifact: Artifact, format: str, reader: ArtifactReader
) -> ModelMetadata | Iterable[ModelMetadata] | None:
    """Return what is known of an artifact, whatever its format. Called after detection, for every plugin.

    ``format`` is the winner's name: give None at once for a format that you know nothing of. Each value
    carries its origin; the core merges by rank header > source > config > card > filename. A `ReadError`
    becomes a finding. Parse once for all hooks with ``reader.once``.

    Example::

        def modelshelf_extract_metadata(artifact, format, reader):
            if format != "npy":
                return None
            header = reader.once("npy", lambda: parse(reader.file()))
            return ModelMetadata.partial(Origin.HEADER, "header", parameters=header.elements)
    """


@_hookspec
def modelshelf_probe_health(
    artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth
) -> Iterable[Finding] | None:
    """Return what is wrong with an artifact; the worst decides. Called after extraction, for every plugin.

    ``Depth.QUICK`` looks at sizes and shards, ``Depth.HEADER`` (the default) at headers, ``Depth.FULL`` at
    every byte, with checksums and the format's own loader where it is installed and safe. A `ReadError`
    becomes a finding of severity error. An info leaves the model healthy, a warning degrades it.

    Example::

        def modelshelf_probe_health(artifact, format, reader, depth):
            if format == "npy" and artifact.size_bytes % 2:
                yield Finding(code="odd-size", severity=Severity.WARNING, message="size is odd")
    """


@_hookspec
def modelshelf_tensor_places(  # type: ignore[empty-body]
    artifact: Artifact, format: str, reader: ArtifactReader
) -> Iterable[TensorPlaces]:
    """Return where the data of an artifact's tensors lies in its files. Called before copies are joined.

    Of two copies of more than 64 MiB samples of each tensor are compared, and every byte outside of the
    tensors. So give no span that any verdict may rest on: no header, directory, pickle or code. Give nothing
    for a format that is not yours, or for a file whose parts overlap: then the files are compared whole.

    Example::

        def modelshelf_tensor_places(artifact, format, reader):
            if format == "npy":
                for one in artifact.weights:
                    start = parse(reader.file(one.name)).data_start
                    yield TensorPlaces(file=one.name, spans=((start, one.size - start),))
    """


@_hookspec
def modelshelf_estimate_memory(model: ModelConfig, request: MemoryRequest) -> MemoryEstimate | None:
    """Return what a model needs in memory with ``request.engine``. Called when somebody asks; opens no file.

    Give None for an engine or a format that is not yours; the first plugin that answers decides. An item that
    cannot be known stays None and is named in ``unknown`` with the reason: never a number without a mark.

    Example::

        def modelshelf_estimate_memory(model, request):
            if request.engine != "numpy" or model.metadata.size_bytes is None:
                return None
            weights = {"device": 0, "host": model.metadata.size_bytes}
            return MemoryEstimate(engine="numpy", weights_bytes=weights, exact=("weights",))
    """


@_hookspec
def modelshelf_serializers() -> Iterable[SerializerType]:  # type: ignore[empty-body]
    r"""Return ways to write records. Called once, when a name is first asked for.

    Example::

        def modelshelf_serializers():
            yield SerializerType(name="ids", media_type="text/plain", dump=lambda models: (
                (model.id + "\n").encode() for model in models))
    """


@_hookspec
def modelshelf_sources() -> Iterable[SourceType]:  # type: ignore[empty-body]
    """Return kinds of places where models lie. Called once.

    Example::

        def modelshelf_sources():
            yield SourceType(name="inventory", make=InventorySource)
    """


@_hookspec
def modelshelf_stores() -> Iterable[StoreType]:  # type: ignore[empty-body]
    """Return stores by URL scheme. Called once, when a scheme is first asked for.

    Example::

        def modelshelf_stores():
            yield StoreType(scheme="redis", open=RedisStore.open)
    """


@_hookspec
def modelshelf_commands() -> Iterable[CommandType]:  # type: ignore[empty-body]
    """Return commands for the command line. Called when help is shown or an unknown command is asked for.

    Example::

        def modelshelf_commands():
            yield CommandType(name="hello", summary="Say hello.", load=lambda: hello_command)
    """


@_hookspec
def modelshelf_model_changed(event: ModelEvent) -> None:
    """Observe a change after it was committed. Called in the process that made the change.

    Example::

        def modelshelf_model_changed(event):
            if event.kind is EventKind.MISSING:
                notify(f"{event.model_id} is gone")
    """
