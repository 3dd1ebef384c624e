"""Rules for file names: wanted, companion, unfinished, of no interest.

Sets of endings and not globs: a name is looked up once, where each of a hundred globs would be tried.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from modelshelf.model import FormatType

if TYPE_CHECKING:
    from collections.abc import Iterable

_UNFINISHED_SUFFIXES = (
    ".part",
    ".partial",
    ".crdownload",
    ".download",
    ".tmp",
    ".aria2",
    ".!qb",
    ".opdownload",
    ".incomplete",
    ".downloadinprogress",
    ".downloading",
)
_UNFINISHED_PATTERN = re.compile(r"-partial(-[0-9]+)?$")

_COMPANIONS = frozenset(
    {
        "config.json",
        "generation_config.json",
        "adapter_config.json",
        "params.json",
        "model_index.json",
        "modules.json",
        "config_sentence_transformers.json",
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "chat_template.json",
        "preprocessor_config.json",
        "processor_config.json",
        "video_preprocessor_config.json",
        "hf_quant_config.json",
        "quantization_config.json",
        "quantize_config.json",
        "quant_config.json",
        "readme.md",
    }
)
TEMPLATE_FOLDERS = frozenset({"additional_chat_templates", "chat_templates"})
"""Folders of a model whose files are companions of the model that they are in."""

_TEMPLATE = re.compile(rf"chat_template[^/]*\.jinja|({'|'.join(sorted(TEMPLATE_FOLDERS))})/[^/]+\.jinja")
_LIBRARY = re.compile(r".+\.(dll|dylib|pyd|so(\.[0-9]+)*)")
_TRAINING_STATE = re.compile(
    r"((?P<stem>.+)[-_.])?(training_args\.bin|(optimizer|scheduler)(_[0-9]+)?\.(pt|bin)|sampler(_[0-9]+)?\.bin|scaler\.pt"
    r"|rng_state(_[0-9]+)?\.pth|random_states_[0-9]+\.pkl)"
)
_PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill")
# Weights that belong to another model and are loaded beside it.
_PROJECTOR = re.compile(
    r"(^|.*[-_.])(mmproj|imatrix)([-_.].*)?\.gguf|.*\.imatrix|(mtp|eagle3|dflash|dspark)-.*\.gguf"
)

# Endings that no model ever has: a file with another unknown ending, or none, is opened once.
_OF_NO_INTEREST = frozenset(
    [
        ".1",
        ".avi",
        ".bat",
        ".bib",
        ".bmp",
        ".c",
        ".cc",
        ".cfg",
        ".cmake",
        ".conf",
        ".cpp",
        ".css",
        ".csv",
        ".cu",
        ".cuh",
        ".db",
        ".diff",
        ".doc",
        ".docx",
        ".eot",
        ".exe",
        ".flac",
        ".gif",
        ".gitattributes",
        ".gitignore",
        ".gitkeep",
        ".go",
        ".gv",
        ".h",
        ".hpp",
        ".htm",
        ".html",
        ".ico",
        ".ini",
        ".ipynb",
        ".java",
        ".jinja",
        ".jpeg",
        ".jpg",
        ".js",
        ".json",
        ".jsonl",
        ".jsx",
        ".lock",
        ".log",
        ".lua",
        ".m",
        ".map",
        ".md",
        ".mdb",
        ".metadata",
        ".mkv",
        ".mo",
        ".mov",
        ".mp3",
        ".mp4",
        ".odt",
        ".ogg",
        ".otf",
        ".patch",
        ".pdf",
        ".php",
        ".pl",
        ".plist",
        ".png",
        ".po",
        ".ppt",
        ".pptx",
        ".proto",
        ".ps1",
        ".py",
        ".pyc",
        ".pyi",
        ".pyx",
        ".r",
        ".rb",
        ".rs",
        ".rst",
        ".scss",
        ".sh",
        ".sql",
        ".srt",
        ".svg",
        ".swift",
        ".tex",
        ".tif",
        ".tiff",
        ".toml",
        ".ts",
        ".tsv",
        ".tsx",
        ".ttf",
        ".txt",
        ".typed",
        ".vue",
        ".wav",
        ".webm",
        ".webp",
        ".whl",
        ".woff",
        ".woff2",
        ".xls",
        ".xlsx",
        ".xml",
        ".yaml",
        ".yml",
    ]
)


def suffix_of(name: str) -> str:
    """The ending of a name, lower case with its dot; empty where it has none."""
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if dot and stem.strip(".") else ""


def unfinished_reason(name: str) -> str | None:
    """Why a name is an unfinished download's, or None."""
    lowered = name.lower()
    if lowered.endswith(_UNFINISHED_SUFFIXES):
        suffix = next(suffix for suffix in _UNFINISHED_SUFFIXES if lowered.endswith(suffix))
        return f"its name ends in {suffix}"
    return "its name ends in -partial" if _UNFINISHED_PATTERN.search(lowered) else None


def is_companion(name: str) -> bool:
    """Whether the file describes the model beside it."""
    lowered = name.lower()
    return lowered in _COMPANIONS or (lowered.endswith(".jinja") and bool(_TEMPLATE.fullmatch(lowered)))


def is_library(name: str) -> bool:
    """Whether the file is machine code that a program loads."""
    return bool(_LIBRARY.fullmatch(name.lower()))


def is_auxiliary(name: str) -> bool:
    """Whether the file belongs to the model beside it: optimizer state, a projector."""
    return is_projector(name) or is_training_state(name)


def is_projector(name: str) -> bool:
    """Whether the file is loaded beside another model: a projector, a draft, an importance matrix."""
    return bool(_PROJECTOR.fullmatch(name.lower()))


def is_training_state(name: str) -> bool:
    """Whether the file is what a training program writes beside a model, by a name of its own."""
    return training_state_stem(name) == ""


def training_state_stem(name: str) -> str | None:
    """The stem of the model that a training program wrote the file for, empty where it names none.

    None where it is no such file.
    """
    match = _TRAINING_STATE.fullmatch(name.lower())
    return None if match is None else match["stem"] or ""


def is_pickle(name: str) -> bool:
    """Whether the file is a pickle by its name, which a loader may read beside a model."""
    return name.lower().endswith(_PICKLE_SUFFIXES)


@frozen(kw_only=True)
class FormatTable:
    """What the format plugins want to see, as one table of names.

    Attributes:
        formats: Each format.
        suffixes: Every ending that some format claims.
        index_suffixes: Every ending of an index of shards.
    """

    formats: tuple[FormatType, ...]
    suffixes: frozenset[str] = field(init=False)
    index_suffixes: tuple[str, ...] = field(init=False)
    _by_suffix: dict[str, frozenset[str]] = field(init=False, eq=False, repr=False)

    @suffixes.default
    def _all_suffixes(self) -> frozenset[str]:
        return frozenset(suffix.lower() for one in self.formats for suffix in one.suffixes)

    @index_suffixes.default
    def _all_index_suffixes(self) -> tuple[str, ...]:
        return tuple({suffix.lower(): None for one in self.formats for suffix in one.index_suffixes})

    @_by_suffix.default
    def _claimed_by(self) -> dict[str, frozenset[str]]:
        return {
            suffix: frozenset(one.name for one in self.formats if suffix in one.suffixes)
            for suffix in {suffix for one in self.formats for suffix in one.suffixes}
        }

    @classmethod
    def of(cls, formats: Iterable[FormatType]) -> FormatTable:
        """The table of these formats."""
        return cls(formats=tuple(formats))

    @property
    def rules(self) -> tuple[object, ...]:
        """All that `wants` goes by, and what is made of the names that it wants."""
        kept = (_OF_NO_INTEREST, _COMPANIONS)
        patterns = (_UNFINISHED_PATTERN, _TRAINING_STATE, _PROJECTOR, _TEMPLATE, _LIBRARY)
        return (
            self.formats,
            _UNFINISHED_SUFFIXES,
            [sorted(one) for one in kept],
            [one.pattern for one in patterns],
        )

    def claims(self, name: str) -> bool:
        """Whether some format claims the ending of this name."""
        return suffix_of(name) in self.suffixes

    def is_index(self, name: str) -> bool:
        """Whether the name is that of an index of shards."""
        return bool(self.index_suffixes) and name.lower().endswith(self.index_suffixes)

    def wants(self, name: str) -> bool:
        """Whether a walk should ask the system about a file of this name."""
        suffix = suffix_of(name)
        if suffix not in _OF_NO_INTEREST or suffix in self.suffixes:
            return True  # what is unfinished has no ending that is of no interest
        return is_companion(name) or self.is_index(name) or is_library(name)

    def suffix_formats(self, suffix: str) -> frozenset[str]:
        """Names of the formats that claim an ending."""
        return self._by_suffix.get(suffix, frozenset())

    def magic_formats(self, head: bytes) -> frozenset[str]:
        """Names of the formats whose magic bytes the head of a file shows."""
        return frozenset(
            one.name
            for one in self.formats
            if any(head[offset : offset + len(magic)] == magic for offset, magic in one.magic)
        )
