"""PyTorch checkpoints, pickles and numpy files: what is in them, and whether loading them would be safe.

Nothing is ever unpickled, and neither torch nor numpy is imported: see `modelshelf_pytorch.pickle.audit`.
Each hook imports its module when it is called, so that loading the plugin costs a start nothing. The packages
`pickle` and `zip` in here are not those of Python's library, and are always imported by their full names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from modelshelf.model import FormatType

if TYPE_CHECKING:
    from modelshelf.model import Artifact, Candidate, Depth, Detection, Finding, ModelMetadata, TensorPlaces
    from modelshelf.reader import ArtifactReader

_HEAD_BYTES = 512
FORMATS = ("archive", "numpy", "pickle", "pytorch")


def modelshelf_formats() -> Iterable[FormatType]:
    """Checkpoints, other pickles, numpy files, and archives that may contain any of them."""
    return (
        FormatType(
            name="pytorch",
            suffixes=(".pt", ".pth", ".bin", ".ckpt", ".pt2", ".jit", ".ptl"),
            magic=((0, b"PK\x03\x04"),),
            index_suffixes=(".bin.index.json",),
        ),
        FormatType(
            name="pickle",
            suffixes=(".pkl", ".pickle", ".joblib", ".dill"),
            magic=(
                *((0, bytes((0x80, protocol))) for protocol in range(2, 6)),
                *((0, packed) for packed in (b"\x1f\x8b\x08", b"BZh", b"\xfd7zXZ\x00")),
            ),
        ),
        FormatType(name="numpy", suffixes=(".npy", ".npz"), magic=((0, b"\x93NUMPY"),)),
        FormatType(
            name="archive",
            magic=((0, b"7z\xbc\xaf'\x1c"), (0, b"Rar!\x1a\x07")),
        ),
    )


def modelshelf_detect_format(candidate: Candidate) -> Detection | None:
    """Vote by the first bytes, by a ZIP's member names, and for a broken file by its suffix."""
    from modelshelf_pytorch.detection import detect

    return detect(candidate)


def modelshelf_extract_metadata(
    artifact: Artifact, format: str, reader: ArtifactReader
) -> ModelMetadata | None:
    """Return the tensors' count, types and parameters, from every file that could be read."""
    if format not in FORMATS:
        return None
    from modelshelf_pytorch.metadata import extract

    return extract(artifact, format, reader)


def modelshelf_tensor_places(
    artifact: Artifact, format: str, reader: ArtifactReader
) -> Iterable[TensorPlaces]:
    """Yield where the storages of archives lie; any other file is to be compared whole."""
    if format not in FORMATS:
        return ()
    from modelshelf_pytorch.containers.storages import tensor_places

    return tensor_places(artifact, reader)


def modelshelf_probe_health(
    artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth
) -> Iterator[Finding]:
    """Yield what is broken, unsafe or strange in each file, in the index, and in pickles beside any model.

    Of a model of another format, what its files would do to a loader that takes them for pickles.
    """
    if format not in FORMATS:
        yield from _probe_foreign(artifact, format, reader, depth)
        return
    from modelshelf_pytorch.health import probe

    yield from probe(artifact, format, reader, depth)


def _probe_foreign(
    artifact: Artifact, format: str, reader: ArtifactReader, depth: Depth
) -> Iterator[Finding]:
    """Yield the findings about a model of another format; most take a look at their first bytes alone."""
    from modelshelf_pytorch.detection import is_misnamed
    from modelshelf_pytorch.signatures import is_no_pickle, may_be_archive_too, may_be_pickled_companion

    for weights in artifact.weights:
        file = reader.file(weights.name)
        if not is_no_pickle(file.read_up_to(0, _HEAD_BYTES)):
            from modelshelf_pytorch.polyglot import polyglot_findings

            yield from polyglot_findings(file, format)
        misnamed = is_misnamed(weights.name, format)
        if may_be_archive_too(file, format, anywhere=misnamed):
            from modelshelf_pytorch.polyglot import archive_findings

            yield from archive_findings(file, format)
        if misnamed:
            from modelshelf_pytorch.polyglot import misnamed_finding

            yield misnamed_finding(weights.name, format)
    if any(may_be_pickled_companion(file.name) for file in artifact.companions):
        from modelshelf_pytorch.health import probe_companions

        yield from probe_companions(artifact, reader, depth)
