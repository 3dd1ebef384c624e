"""Who looks into artifacts: a set of plugins, what they want to see, and the sources that open files.

The look itself is loaded with the first artifact: a scan of what did not change needs none.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from modelshelf.model.depth import Depth
from modelshelf.scan.file_names import FormatTable
from modelshelf.scan.places import make_sources

if TYPE_CHECKING:
    from collections.abc import Iterable

    from modelshelf.model import Artifact
    from modelshelf.plugin.call import PluginSet
    from modelshelf.scan.examine import Examination
    from modelshelf.source import Source


class Examiner:
    """Looks into artifacts with a set of plugins.

    Attributes:
        formats: What the format plugins want to see.
        sources: The sources, each of which opens its own artifacts' files.
        blocked: Names of the plugins that are not to be loaded, here or in a worker process.
        rules: Digest of all that decides which files matter: names, formats, and the plugins that vote.
    """

    def __init__(self, plugins: PluginSet, sources: Iterable[Source] | None = None) -> None:
        self._plugins = plugins
        self.blocked = plugins.blocked
        self.formats = FormatTable.of(plugins.collect("modelshelf_formats"))
        self.sources = tuple(make_sources(plugins) if sources is None else sources)
        self._openers = {one.name: one.open for one in reversed(self.sources)}
        voters = [(one.plugin, one.version) for one in plugins.reports if one.hooks]
        self.rules = hashlib.blake2b(repr((self.formats.rules, voters)).encode(), digest_size=16).digest()

    def bound(self, fingerprint: bytes) -> bytes:
        """A fingerprint of what was rejected, which says nothing to other plugins."""
        return hashlib.blake2b(fingerprint + self.rules, digest_size=16).digest()

    def examine(self, artifact: Artifact, depth: Depth = Depth.HEADER) -> Examination:
        """Look into an artifact; never raises for what a file or a plugin does."""
        from modelshelf.scan.examine import look

        return look(artifact, self._plugins, self.formats, depth, self._openers.get(artifact.source))

    def hashed(self, artifact: Artifact) -> Examination:
        """Read every byte of the weights, for nothing but their sha256."""
        from modelshelf.scan.examine import hash_alone

        return hash_alone(artifact, self._openers.get(artifact.source))
