"""The folder of a store and its two files: how they are made, opened and made durable."""

from __future__ import annotations

import errno
import mmap
import os
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import lmdb

from modelshelf.errors import StoreUnavailableError
from modelshelf_lmdb.errors import translated
from modelshelf_lmdb.identity import KEY, MARK
from modelshelf_lmdb.pages import DATA_NAME, LOCK_NAME, MAGIC

FIRST_MAP = 64 * 1024 * 1024
"""Bytes of the first map; it doubles whenever it is full."""

MAX_READERS = 512
FILES_MODE = 0o700  # LMDB takes the x bits off
UNFINISHED = ".new-"
"""What the name of a folder begins with in which a store is being made."""

_FOLDER_MODE = 0o700
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)  # a child process must not inherit a descriptor
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # a FIFO in the file's place must not hang the open
_LOCK_FORMAT = 0x10001
_LOCK_HEAD = struct.Struct("=II")
_LOCK_BYTES = 64
_TXNID_WORDS = {("linux", "x86_64"): 6}  # a mutex of the GNU C library has 40 bytes there


def create(folder: str) -> None:
    """Make a store's folder and data file where there is no store.

    The file is finished under another name, so that whoever looks finds none or a whole one.

    Raises:
        StoreUnavailableError: They cannot be made.
        StoreFullError: There is no room for them.
    """
    try:
        os.makedirs(folder, mode=_FOLDER_MODE, exist_ok=True)
        if has_store(folder):
            return
        with _alone(folder):
            if has_store(folder):  # another process made it meanwhile
                return
            if all(name.startswith(".") for name in os.listdir(folder)):  # a checkout's empty one, say
                with suppress(OSError):
                    os.chmod(folder, _FOLDER_MODE)
            _make(folder)
        for path in (folder, os.path.dirname(folder)):
            persist_entries(path)
    except (lmdb.Error, OSError, ValueError) as error:
        raise translated(error, folder, "creating the store") from error


def _make(folder: str) -> None:
    import shutil  # no store is made at most starts
    import tempfile

    for name in os.listdir(folder):
        if name.startswith(UNFINISHED):  # of a process that was killed
            shutil.rmtree(os.path.join(folder, name), ignore_errors=True)
    made = tempfile.mkdtemp(prefix=UNFINISHED, dir=folder)
    try:
        # The version is named so that an environment variable of LMDB's cannot choose another file format.
        opened = lmdb.open(
            os.fsencode(made), map_size=FIRST_MAP, create=False, mode=FILES_MODE, lib_version=0
        )
        try:
            with opened.begin(write=True) as txn:
                txn.put(KEY, MARK)
        finally:
            opened.close()
        os.replace(os.path.join(made, DATA_NAME), os.path.join(folder, DATA_NAME))
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Have other processes wait that make a store in a folder, where the system has such locks."""
    descriptor = os.open(folder, os.O_RDONLY | _CLOEXEC)
    try:
        with suppress(ImportError, OSError):
            import fcntl  # Windows has none

            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def has_store(folder: str) -> bool:
    """Whether a folder has a store's data file that is not empty.

    Raises:
        StoreUnavailableError: That cannot be found out, or it is a FIFO, a device or a folder.
    """
    path = os.path.join(folder, DATA_NAME)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        raise translated(error, folder, "opening") from error
    if not stat.S_ISREG(status.st_mode):  # LMDB would wait for a FIFO's other end
        raise StoreUnavailableError(f"{path}: is not a regular file; move it away")
    return status.st_size > 0


def is_writable(folder: str) -> bool:
    """Whether the system lets this process change the store in a folder."""
    lock = os.path.join(folder, LOCK_NAME)
    if not os.access(os.path.join(folder, DATA_NAME), os.R_OK | os.W_OK):
        return False
    return os.access(lock if os.path.lexists(lock) else folder, os.R_OK | os.W_OK)


def reset_lock_file(folder: str) -> None:
    """Have LMDB write the lock file anew: in it is the last commit of the file that was replaced.

    For a caller with `environment.exclusive_access`.

    Raises:
        StoreUnavailableError: The store cannot be opened.
    """
    try:
        lmdb.open(os.fsencode(folder), create=False, mode=FILES_MODE, max_readers=MAX_READERS).close()
    except lmdb.Error as error:
        raise translated(error, folder, "opening") from error


def persist_entries(folder: str | os.PathLike[str]) -> None:
    """Make a new file's directory entry durable; committed records would be lost with it."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_data_file(folder: str) -> int:
    """Open the data file in a folder for reading, and return its descriptor.

    Raises:
        StoreUnavailableError: It cannot be opened, or is no regular file.
    """
    path = os.path.join(folder, DATA_NAME)
    try:
        descriptor = os.open(path, os.O_RDONLY | _NONBLOCK | _CLOEXEC)
    except (OSError, ValueError) as error:
        raise translated(error, folder, "opening") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreUnavailableError(f"{path}: is not a regular file; move it away")
    return descriptor


def stored_ranges(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    """Find the bytes of a file that are stored: a sparse one may claim terabytes and have a few kilobytes."""
    if not hasattr(os, "SEEK_DATA"):
        yield 0, size
        return
    end = 0
    while end < size:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
            end = min(os.lseek(descriptor, begin, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno != errno.ENXIO:  # it does not say that no byte follows, but that it cannot tell
                yield end, size
            return
        if begin < end:
            yield begin, end


class LockFile:
    """LMDB's lock file, mapped for reading: it has the last commit, and outlives the data file's truncation.

    The data file's meta pages give it as quickly, but a process that looks into memory behind which the file
    was cut off is ended by the system. To be closed after the environment, never before: closing any
    descriptor of a file gives all of a process's locks on it up, those that LMDB lives by included.

    Format: ``libraries/liblmdb/mdb.c`` of LMDB 0.9, structure ``MDB_txbody``: u32 magic, u32 format, the
    readers' mutex, then the last transaction's id. The mutex is the system's, so that its size is known on
    some platforms only.

    Attributes:
        word: Its first item is the last commit's transaction id; None where its place is not known.

    Raises:
        OSError: It cannot be opened.
        ValueError: It cannot be mapped.
    """

    def __init__(self, folder: str) -> None:
        self._descriptor = os.open(os.path.join(folder, LOCK_NAME), os.O_RDONLY | _CLOEXEC)
        self._map = mmap.mmap(self._descriptor, _LOCK_BYTES, access=mmap.ACCESS_READ)
        self._words = memoryview(self._map).cast("Q")
        self.word: memoryview[int] | None = None
        machine = os.uname().machine if hasattr(os, "uname") else ""  # `platform` is slow to import
        index = _TXNID_WORDS.get((sys.platform, machine))
        if index is not None and _LOCK_HEAD.unpack_from(self._map) == (MAGIC, _LOCK_FORMAT):
            self.word = self._words[index : index + 1]

    def close(self) -> None:
        """Close the file."""
        if self.word is not None:
            self.word.release()
        self._words.release()
        self._map.close()
        os.close(self._descriptor)
