"""What earlier scans left of the place that a scan is at, and what the next one is to look at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelshelf.records.write import RecordReader
from modelshelf.scan.known import Known
from modelshelf.scan.volumes import Volumes

if TYPE_CHECKING:
    from modelshelf.model import Artifact
    from modelshelf.scan.changed import TreeScan
    from modelshelf.store import Store


class Remembered:
    """The registry's knowledge of one place after another.

    Args:
        store: Where the records are kept.

    Attributes:
        known: What the registry knows of the place's paths.
        tree: The place as a tree with a census, or None where it is listed whole.
        volumes: The mount points that models lie, or lay, on.
    """

    def __init__(self, store: Store) -> None:
        self.known = Known(store, "", at_once=False)
        self.tree: TreeScan | None = None
        self.volumes = Volumes(store.view(lambda state: RecordReader(state).mounts()))

    def leave_open(self, artifact: Artifact) -> None:
        """Have the next scan look into the artifact's folder, whatever became of it by then."""
        if self.tree is not None:
            self.tree.look_again(artifact.folder)

    def dismiss(self, artifact: Artifact) -> None:
        """Take the artifact for no model until its file changes."""
        if self.tree is not None:
            seen = self.known.seen(artifact.path)
            if seen is None or seen.model_id is None:
                self.tree.dismiss(artifact.folder, artifact.primary)
            else:  # a record lies there still, of other bytes
                self.tree.look_again(artifact.folder)
