"""Stored values with any byte changed: found by their checksum, never read as something else."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.errors import StoreError
from modelshelf.records.frame import decode_value, encode_value
from modelshelf.scan.folder_cache import CachedFolder, FolderCache
from tests.fuzz.mutate import changed

KEY = b"c\0/models"
FOLDERS = ["/models", "/models/a", "/models/a/b", "/models/odd\udcff"]
ENCODED = encode_value(KEY, FolderCache.of({path: CachedFolder(None) for path in FOLDERS}).pack())


def test_a_folder_cache_comes_back_as_it_was():
    cache = FolderCache.unpack("/models", decode_value(KEY, ENCODED))
    assert cache is not None
    assert cache.paths == FOLDERS


@given(st.integers(0, 2**64))
@settings(deadline=None, max_examples=500)
def test_a_changed_folder_cache_is_found_by_its_checksum(number):
    damaged = changed(Random(number), ENCODED)  # noqa: S311 - reproducible, not secret
    if damaged == ENCODED:
        return
    with pytest.raises(StoreError):
        decode_value(KEY, damaged)


@given(st.binary(min_size=1, max_size=12))
@settings(deadline=None, max_examples=200)
def test_a_value_under_another_key_is_found(key):
    if key != KEY:
        with pytest.raises(StoreError):
            decode_value(key, ENCODED)
