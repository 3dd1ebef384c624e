from __future__ import annotations

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import Artifact, Depth, Detection, PluginFailure, Problem
from modelshelf.plugin.given import PluginSelection
from modelshelf.scan.examine import Examination, Vote
from modelshelf.scan.messages import (
    WorkerSettings,
    decode_answer,
    decode_call,
    encode_answer,
    encode_call,
)
from tests.core.record_strategies import DETAILS, FILES, FINDINGS, METADATA, PATHS, TEXT

ARTIFACTS = st.builds(
    Artifact,
    folder=PATHS,
    primary=PATHS,
    files=st.lists(FILES, max_size=2).map(tuple),
    source=TEXT,
    model_id=st.none() | TEXT,
    aliases=st.lists(TEXT, max_size=2).map(tuple),
    facts=DETAILS,
    missing=st.lists(PATHS, max_size=2).map(tuple),
    named_directly=st.booleans(),
)
VOTES = st.builds(
    Vote,
    plugin=TEXT,
    detection=st.builds(Detection, format=TEXT, confidence=st.floats(0, 1), evidence=TEXT),
)
FAILURES = st.builds(
    PluginFailure,
    plugin=TEXT,
    version=st.none() | TEXT,
    hook=TEXT,
    reason=TEXT,
    path=st.none() | PATHS,
    file=st.none() | PATHS,
    line=st.none() | st.integers(0, 9999),
    always=st.booleans(),
    traceback=TEXT,
)
SELECTIONS = st.builds(
    PluginSelection,
    blocked=st.frozensets(TEXT, max_size=2),
    modules=st.lists(TEXT, max_size=2).map(tuple),
    files=st.lists(PATHS, max_size=2).map(tuple),
)
PROBLEMS = st.builds(Problem, code=TEXT, message=TEXT, path=st.none() | PATHS, plugin=st.none() | TEXT)
EXAMINATIONS = st.builds(
    Examination,
    format=st.none() | TEXT,
    votes=st.lists(VOTES, max_size=2),
    metadata=METADATA,
    findings=st.lists(FINDINGS, max_size=2),
    content_digest=st.binary(max_size=16),
    depth=st.sampled_from(Depth),
    sha256=st.dictionaries(PATHS, TEXT, max_size=2),
    bytes_read=st.integers(0, 2**64),
    failures=st.lists(FAILURES, max_size=2),
    unreadable=st.booleans(),
    rejected=st.none() | PROBLEMS,
)


@settings(deadline=None, max_examples=60)
@given(
    artifacts=st.lists(ARTIFACTS, max_size=2),
    depth=st.sampled_from(Depth),
    plugins=SELECTIONS,
)
def test_artifacts_come_to_another_process_as_they_were(artifacts, depth, plugins):
    settings = WorkerSettings(plugins=plugins, hook_seconds=1.5)
    back, depth_back, settings_back = decode_call(encode_call(artifacts, depth, settings))
    assert repr(back) == repr(artifacts)  # NaN equals NaN
    assert (depth_back, settings_back) == (depth, settings)


@settings(deadline=None, max_examples=60)
@given(examinations=st.lists(EXAMINATIONS, max_size=2))
def test_examinations_come_back_as_they_were(examinations):
    back = decode_answer(encode_answer(examinations))
    for mine, theirs in zip(examinations, back, strict=True):
        assert mine.failures == theirs.failures
        assert set(mine.metadata.provenance.items()) == set(theirs.metadata.provenance.items())
        bare = [
            attrs.evolve(one, metadata=attrs.evolve(one.metadata, provenance={})) for one in (mine, theirs)
        ]
        assert repr(bare[0]) == repr(bare[1])


def test_no_field_is_forgotten_on_the_way():
    strategies = {
        Artifact: ARTIFACTS,
        Examination: EXAMINATIONS,
        PluginFailure: FAILURES,
        PluginSelection: SELECTIONS,
    }
    for kind, strategy in strategies.items():
        assert strategy.wrapped_strategy.kwargs.keys() == {one.name for one in attrs.fields(kind)}
