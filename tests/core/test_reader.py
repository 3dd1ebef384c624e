from __future__ import annotations

import os
from pathlib import Path

import pytest

from modelshelf import reader as reader_module
from modelshelf.errors import (
    BudgetExceededError,
    FileChangedError,
    FormatError,
    TruncatedFileError,
    UnreadableFileError,
)
from modelshelf.reader import ArtifactReader, Budget
from modelshelf.testing.artifacts import MemoryFile
from tests.support import artifact_of, reader_of


@pytest.fixture
def blob(tmp_path: Path) -> Path:
    path = tmp_path / "m.bin"
    path.write_bytes(bytes(range(256)) * 256)
    return path


def test_reads_any_range_exactly(blob: Path) -> None:
    with reader_of(blob) as reader:
        file = reader.file()
        content = blob.read_bytes()
        for offset, length in ((0, 10), (16_000, 1_000), (16_384, 5), (65_535, 1), (65_536, 0)):
            assert file.read(offset, length) == content[offset : offset + length]
        assert file.read_up_to(65_530, 100) == content[65_530:]
        assert file.read_up_to(70_000, 100) == b""


def test_small_reads_at_the_start_cost_one_read_together(blob: Path) -> None:
    with reader_of(blob) as reader:
        for offset in range(0, 4_096, 8):
            reader.file().read(offset, 8)
        assert reader.bytes_read == 16_384


@pytest.mark.parametrize(("offset", "length"), [(65_536, 1), (0, 65_537), (2**70, 1), (-1, 4), (0, -1)])
def test_a_range_past_the_end_is_named_not_shortened(blob: Path, offset: int, length: int) -> None:
    with reader_of(blob) as reader, pytest.raises(TruncatedFileError, match=r"m\.bin"):
        reader.file().read(offset, length)


def test_the_budget_ends_reading(blob: Path) -> None:
    with reader_of(blob, budget=20_000) as reader:
        reader.file().read(0, 16_000)
        with pytest.raises(BudgetExceededError, match="20000"):
            reader.file().read(20_000, 20_000)


def test_no_file_but_the_artifacts_own_is_opened(blob: Path) -> None:
    (blob.parent / "secret").write_text("x")
    with reader_of(blob) as reader:
        for name in ("secret", "../secret", "/etc/passwd", ""):
            with pytest.raises(UnreadableFileError):
                reader.file(name)


def test_a_pipe_does_not_hang(blob: Path) -> None:
    artifact = artifact_of(blob)
    blob.unlink()
    os.mkfifo(blob)
    with ArtifactReader(artifact) as reader, pytest.raises(UnreadableFileError, match="regular"):
        reader.file()


def test_a_file_that_changed_since_it_was_listed_is_not_read(blob: Path) -> None:
    artifact = artifact_of(blob)
    blob.write_bytes(b"other")
    with ArtifactReader(artifact) as reader, pytest.raises(FileChangedError, match="still changing"):
        reader.file()


def test_a_file_that_shrinks_while_it_is_read_is_an_error_not_a_crash(blob: Path) -> None:
    with reader_of(blob) as reader:
        file = reader.file()
        os.truncate(blob, 100)
        with pytest.raises(FileChangedError, match="shrank"):
            file.read(30_000, 1_000)
        assert reader.changed_files() == ("m.bin",)


def test_a_value_is_built_once_and_so_is_its_error(blob: Path) -> None:
    calls = []

    def build() -> int:
        calls.append(1)
        raise FormatError("broken")

    with reader_of(blob) as reader:
        for _ in range(3):
            with pytest.raises(FormatError, match="broken"):
                reader.once("key", build)
    assert len(calls) == 1


@pytest.mark.parametrize("asks_cache", [True, False])
def test_bytes_that_were_just_written_are_compared_at_once_and_counted(
    blob: Path, monkeypatch: pytest.MonkeyPatch, asks_cache: bool
) -> None:
    if not asks_cache:
        monkeypatch.setattr(reader_module, "_NO_WAIT", 0)  # as on systems that cannot be asked
    content = blob.read_bytes()
    with reader_of(blob) as reader:
        file = reader.file()
        assert file.matches_cached(20_000, content[20_000:50_000]) is True
        assert file.matches_cached(20_000, content[20_001:50_001]) is False
        assert file.matches_cached(0, content[:10]) is True
        assert reader.bytes_read in {60_010, 60_000 + reader_module.HEAD_BLOCK}
        assert file.matches_cached(len(content) - 1, b"ab") is False
        assert file.matches_cached(-1, b"a") is False


def test_comparing_spends_the_budget(blob: Path) -> None:
    with reader_of(blob, budget=10_000) as reader, pytest.raises(BudgetExceededError):
        reader.file().matches_cached(0, blob.read_bytes()[:10_001])


def test_a_cold_file_says_that_it_must_be_fetched_or_compares(blob: Path) -> None:
    content = blob.read_bytes()
    descriptor = os.open(blob, os.O_RDWR)
    os.fsync(descriptor)
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    with reader_of(blob) as reader:
        file = reader.file()
        # A file system in memory is never cold, and what is asked for may come meanwhile.
        assert file.matches_cached(30_000, content[30_000:40_000]) in {None, True}
        assert file.read(30_000, 10_000) == content[30_000:40_000]
        assert file.matches_cached(30_000, content[30_000:40_000]) is True


def test_a_closed_file_is_named_when_it_is_compared(blob: Path) -> None:
    with reader_of(blob) as reader:
        file = reader.file()
        file.close()
        with pytest.raises(UnreadableFileError, match="EBADF"):
            file.matches_cached(20_000, b"a")


def test_a_reader_that_knows_of_no_cache_has_nothing_at_hand() -> None:
    assert MemoryFile(b"content", "model.gguf", Budget()).matches_cached(0, b"content") is None


SPANS = [(60_000, 30), (0, 4), (65_530, 6), (20_000, 0), (20_000, 100), (20_010, 5)]


def test_many_ranges_together_are_what_each_gives_by_itself(blob: Path) -> None:
    content = blob.read_bytes()
    with reader_of(blob) as reader:
        assert reader.file().read_each(SPANS) == [content[start : start + length] for start, length in SPANS]
        assert reader.bytes_read == sum(length for _, length in SPANS)
        assert reader.file().read_each([]) == []


@pytest.mark.parametrize("wrong", [(65_530, 7), (-1, 4), (5, -1), (2**70, 1), (0, 2**70)])
def test_a_range_past_the_end_among_many_is_named_as_by_itself(blob: Path, wrong: tuple[int, int]) -> None:
    with reader_of(blob) as reader:
        with pytest.raises(TruncatedFileError) as alone:
            reader.file().read(*wrong)
        with pytest.raises(TruncatedFileError) as among:
            reader.file().read_each([*SPANS, wrong, *SPANS])
    assert (str(among.value), among.value.offset) == (str(alone.value), alone.value.offset)


def test_the_budget_ends_the_reading_of_many_ranges_at_the_one_that_passes_it(blob: Path) -> None:
    with reader_of(blob, budget=20_000) as reader:
        with pytest.raises(BudgetExceededError, match="8000 bytes at 50000") as raised:
            reader.file().read_each([(30_000, 8_000), (40_000, 8_000), (50_000, 8_000)])
        assert raised.value.offset == 50_000
        assert reader.bytes_read == 16_000


def test_a_file_that_shrinks_is_named_among_many_ranges(blob: Path) -> None:
    with reader_of(blob) as reader:
        file = reader.file()
        os.truncate(blob, 30_000)
        with pytest.raises(FileChangedError, match="shrank") as raised:
            file.read_each([(20_000, 10), (40_000, 10)])
        assert raised.value.offset == 40_000


def test_a_closed_file_is_named_among_many_ranges(blob: Path) -> None:
    with reader_of(blob) as reader:
        file = reader.file()
        file.close()
        with pytest.raises(UnreadableFileError, match="EBADF"):
            file.read_each([(20_000, 10)])
