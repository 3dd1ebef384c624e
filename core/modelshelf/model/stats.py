"""What a scan did."""

from __future__ import annotations

from attrs import field, frozen

from modelshelf.model.converters import as_tuple


@frozen(kw_only=True)
class Problem:
    """One thing that a scan could not do, and why.

    Attributes:
        code: A short kebab-case name, stable across releases.
        message: What, where and what to do; may quote hostile text.
        path: The file or folder, or None.
        plugin: The plugin that failed, or None.
    """

    code: str
    message: str
    path: str | None = None
    plugin: str | None = None


@frozen(kw_only=True)
class UnfinishedDownload:
    """A download that was not finished: listed so that it can be found and cleaned, never admitted.

    Attributes:
        path: The file.
        size: Bytes it takes up; a sparse file takes fewer than its length.
        reason: Why it counts as unfinished.
    """

    path: str
    size: int
    reason: str


@frozen(kw_only=True)
class Orphan:
    """A file that a tool keeps and that none of its models uses: listed so that it can be found and cleaned.

    Attributes:
        path: The file.
        size: Bytes it takes up.
        reason: Why nothing uses it.
    """

    path: str
    size: int
    reason: str


@frozen(kw_only=True)
class DiscoveryStats:
    """Counters of one scan.

    Attributes:
        total_scanned: Folders that were listed.
        models_found: Models that the scan saw, new, changed or unchanged.
        models_added: Models, and versions of models, that are new in the registry.
        models_updated: Records that the scan changed.
        models_unchanged: Models whose files are as they were; none of them was opened.
        models_missing: Records whose files were there before and are gone.
        errors: Files, folders and plugins that failed; each is in `problems`.
        unfinished_downloads: Number of unfinished downloads; each is in `unfinished`.
        bytes_read: Bytes read from model files and companions.
        seconds: Wall-clock time.
        problems: What failed or was left out, and why.
        unfinished: The unfinished downloads.
        orphans: Files that a tool keeps although none of its models uses them.
        passed_over: Folders and links that were passed over by rule, and by which: no problems.
    """

    total_scanned: int = 0
    models_found: int = 0
    models_added: int = 0
    models_updated: int = 0
    models_unchanged: int = 0
    models_missing: int = 0
    errors: int = 0
    unfinished_downloads: int = 0
    bytes_read: int = 0
    seconds: float = 0.0
    problems: tuple[Problem, ...] = field(default=(), converter=as_tuple)
    unfinished: tuple[UnfinishedDownload, ...] = field(default=(), converter=as_tuple)
    orphans: tuple[Orphan, ...] = field(default=(), converter=as_tuple)
    passed_over: tuple[Problem, ...] = field(default=(), converter=as_tuple)
