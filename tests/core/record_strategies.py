"""Strategies that make records of every shape, hostile text and numbers included."""

from __future__ import annotations

from hypothesis import strategies as st

from modelshelf.model import (
    ArtifactFile,
    Depth,
    Finding,
    HealthStatus,
    Location,
    ModelConfig,
    ModelMetadata,
    ModelVersion,
    Origin,
    Provenance,
    Role,
    Severity,
)
from modelshelf.model.metadata import FIELD_NAMES

# Everything a str can hold: controls, bidirectional marks, lone surrogates, and what spreadsheets obey.
_FORMULAS = ["=1+1", "-2", "@x", "\t=1", "\r"]
_BREAKS = ["", "a,b", 'say "x"', "line\nbreak", "odd\udcff", "\ud800", "\x1b]8;;", "\u202e", "\x7f"]
_YAML_WORDS = ["no", "1e3", "~", "null"]
TEXT = st.text(st.characters(), max_size=12) | st.sampled_from(_FORMULAS + _BREAKS + _YAML_WORDS)
PATHS = st.binary(max_size=12).map(lambda raw: "/" + raw.decode("utf-8", "surrogateescape")) | TEXT
HUGE = st.integers(-(2**70), 2**70) | st.sampled_from([2**63, 2**64 - 1, 2**64, 2**200])
NUMBERS = st.floats() | st.integers(-5, 2**64 - 1)
SCALARS = st.none() | st.booleans() | HUGE | st.floats() | TEXT
DETAILS = st.dictionaries(TEXT, SCALARS | st.lists(SCALARS, max_size=3), max_size=3)

FILES = st.builds(
    ArtifactFile,
    name=PATHS,
    size=HUGE,
    mtime_ns=HUGE,
    inode=st.integers(0, 2**64 - 1),
    role=st.sampled_from(Role),
    etag=st.none() | TEXT,
)
LOCATIONS = st.builds(
    Location,
    path=PATHS,
    folder=PATHS,
    source=TEXT,
    files=st.lists(FILES, max_size=2).map(tuple),
    fingerprint=st.binary(max_size=16),
    missing=st.booleans(),
    offline=st.booleans(),
    depth=st.sampled_from(Depth),
    found_at=st.none() | st.sampled_from(Depth),
    metadata=st.none() | st.just(ModelMetadata(architecture="llama", details={"a": 1})),
)
FINDINGS = st.builds(
    Finding,
    code=TEXT,
    severity=st.sampled_from(Severity),
    message=TEXT,
    file=st.none() | PATHS,
    offset=st.none() | HUGE,
)
PROVENANCES = st.builds(Provenance, origin=st.sampled_from(Origin), detail=TEXT)
WORDS = st.none() | st.lists(TEXT, max_size=2).map(tuple)
METADATA = st.builds(
    ModelMetadata,
    architecture=st.none() | TEXT,
    quantization=st.none() | TEXT,
    parameters=st.none() | HUGE.map(abs),
    format=st.none() | TEXT,
    context_length=st.none() | HUGE,
    kind=st.none() | TEXT,
    input_modalities=WORDS,
    capabilities=WORDS,
    tags=WORDS,
    source=st.none() | TEXT,
    license=st.none() | TEXT,
    created_at=st.none() | st.integers(0, 2**40),
    size_bytes=st.none() | HUGE,
    bits_per_weight=st.none() | st.floats(),
    tensor_types=st.none() | st.dictionaries(TEXT, HUGE, max_size=2),
    base_model=WORDS,
    chat_template=st.none() | st.booleans(),
    details=DETAILS,
    provenance=st.dictionaries(st.sampled_from(FIELD_NAMES), PROVENANCES, max_size=4),
) | st.builds(ModelMetadata, parameters=st.just(7), parameter_count=st.none() | TEXT)
IDS = TEXT.filter(lambda text: text.strip() and "\0" not in text)
VERSIONS = st.builds(
    ModelVersion,
    major=HUGE.map(abs),
    minor=st.integers(0, 9),
    prerelease=st.none() | st.sampled_from(["rc.1", "a-b"]),
    build=st.none() | st.just("5.x"),
)
CONFIGS = st.builds(
    ModelConfig,
    id=IDS,
    path=PATHS,
    display_name=TEXT,
    version=VERSIONS,
    metadata=METADATA,
    preload=st.booleans(),
    max_workers=st.none() | st.integers(1, 2**70),
    temperature=st.none() | st.floats(0, allow_nan=False),
    enabled=st.booleans(),
    health_status=st.sampled_from(HealthStatus),
    findings=st.lists(FINDINGS, max_size=2),
    checked_at=st.none() | st.integers(0, 2**40),
    last_used=st.none() | st.integers(0, 2**40),
    use_count=st.integers(0, 2**70),
    aliases=st.lists(IDS, max_size=2),
    locations=st.lists(LOCATIONS, max_size=2),
    content_digest=st.binary(max_size=32),
    missing_since=st.none() | st.integers(0, 2**40),
    set_by_user=st.frozensets(TEXT, max_size=2),
)
