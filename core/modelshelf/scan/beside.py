"""Which files of a folder count for which of its models: training state, projectors, pickles, libraries.

In a folder of one model, in however many formats, all count for it. In a folder of several, a file counts
for the model whose stem it bears, and another pickle is a record of its own.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter

from attrs import evolve, frozen

from modelshelf.model import ArtifactFile, Role
from modelshelf.scan.file_names import is_library, is_pickle, is_projector, suffix_of, training_state_stem

NAME = attrgetter("name")
"""What companions are sorted by."""

NUMBERED = re.compile(
    r"(?P<stem>.+)[-_](?P<number>\d{1,6})-of-(?P<total>\d{1,6})(?P<suffix>\.[^.]+)", re.DOTALL
)
"""Names of shards: ``-00001-of-00003`` by convention; other widths and ``_`` exist in the wild."""

QUANTIZATION = re.compile(
    r"(?i)(?<![a-z0-9])((?:i?q[1-8]|tq[12])_(?:[a-z0-9]+)(?:_[a-z0-9]+)?|bf16|f16|f32|fp16|fp32|fp8|int8|int4|mxfp4|nvfp4)"
    r"(?![a-z0-9])"
)
"""Names of quantizations within the name of a file."""

GENERIC_STEMS = frozenset(
    {"model", "pytorch_model", "diffusion_pytorch_model", "adapter_model", "consolidated"}
)
"""Stems that say nothing of the model."""

_MOST_LIBRARIES = 16  # of one model: the first says enough
_MOST_PICKLES = 64  # of one model: a folder of more is a collection of data


def stem_of(name: str) -> str:
    """The name of a file without its ending and without its number among shards."""
    match = NUMBERED.fullmatch(name)
    if match:
        return match["stem"]
    suffix = suffix_of(name)
    return name[: -len(suffix)] if suffix else name


@frozen(kw_only=True, eq=False, repr=False)
class Beside:
    """The files of one folder that lie beside its models.

    Attributes:
        taken: Names of those that are nothing by themselves; others are looked at as models too.
    """

    taken: frozenset[str]
    _of_all: tuple[ArtifactFile, ...]
    _of_models: tuple[ArtifactFile, ...]
    _of_stems: Mapping[str, list[ArtifactFile]]
    _models: frozenset[str]

    @classmethod
    def of(
        cls, files: Mapping[str, ArtifactFile], indexed: Iterable[str], claims: Callable[[str], bool]
    ) -> Beside:
        """Tell the files of a folder apart.

        Args:
            files: Files that are no companions by their names, and no shards of an index, by name.
            indexed: Names of the first shard of each index.
            claims: Whether some format claims a file by its name.
        """
        asides = {name: one for name, one in files.items() if _is_aside(name)}
        models = frozenset([*(name for name in files if name not in asides and claims(name)), *indexed])
        stems = {stem_of(name).lower() for name in models} if asides else set()
        is_one = len(set(map(_bare, stems))) == 1
        of_all: list[ArtifactFile] = []
        of_models: list[ArtifactFile] = []
        of_stems: defaultdict[str, list[ArtifactFile]] = defaultdict(list)
        taken: set[str] = set()
        for name, one in asides.items() if models else ():
            companion = evolve(one, role=Role.COMPANION)
            stem = training_state_stem(name)
            if is_projector(name) or (stem == "" and is_one):
                of_all.append(companion)
                taken.add(name)
            elif stem and stem in stems:
                of_stems[stem].append(companion)
                taken.add(name)
            elif is_library(name) or (is_pickle(name) and is_one):
                of_models.append(companion)
            elif is_pickle(name):
                of_stems[stem_of(name).lower()].append(companion)
        return cls(
            taken=frozenset(taken),
            of_all=tuple(of_all),
            of_models=(
                *[one for one in of_models if is_library(one.name)][:_MOST_LIBRARIES],
                *[one for one in of_models if is_pickle(one.name)][:_MOST_PICKLES],
            ),
            of_stems=of_stems,
            models=models,
        )

    def with_companions(self, name: str, companions: Iterable[ArtifactFile]) -> list[ArtifactFile]:
        """The companions of the model with these first weights, by name: those of its folder, and its own."""
        found = [*companions, *self._of_all]
        if name in self._models:
            found += [*self._of_models, *self._of_stems.get(stem_of(name).lower(), ())]
        return sorted(found, key=NAME)


def _is_aside(name: str) -> bool:
    """Whether a file is no model where there is another one beside it."""
    return is_projector(name) or is_library(name) or is_pickle(name) or training_state_stem(name) is not None


def _bare(stem: str) -> str:
    """A stem without its quantization; the same for all that say nothing."""
    bare = QUANTIZATION.sub("", stem).strip("-_. ")
    return "" if bare in GENERIC_STEMS else bare
