"""LMDB's lock file, read beside LMDB: it tells the last commit, and outlives the data file's truncation.

The data file's meta pages tell it as quickly, but a process that looks into memory behind which the file was
cut off is ended by the system.

Format: ``libraries/liblmdb/mdb.c`` of LMDB 0.9, structure ``MDB_txbody``: u32 magic, u32 format, the readers'
mutex, then the last transaction's id. The mutex is the system's, so that the place is known for some alone.
"""

from __future__ import annotations

import mmap
import os
import struct
import sys

NAME = "lock.mdb"
_MAGIC = 0xBEEFC0DE
_FORMAT = 0x10001
_HEAD = struct.Struct("=II")
_BYTES = 64
_TXNID_WORDS = {("linux", "x86_64"): 6}  # a mutex of the GNU C library has 40 bytes there


class LockFile:
    """The lock file of an environment that is open, mapped for reading.

    It has to be closed after the environment, never before: closing any descriptor of a file takes all of a
    process's locks on it away, those that LMDB lives by included.

    Attributes:
        word: Its first item is the last commit's transaction id; None where its place is not known.

    Raises:
        OSError: It cannot be opened.
        ValueError: It cannot be mapped.
    """

    def __init__(self, folder: str) -> None:
        self._descriptor = os.open(os.path.join(folder, NAME), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._map = mmap.mmap(self._descriptor, _BYTES, access=mmap.ACCESS_READ)
        self._words = memoryview(self._map).cast("Q")
        self.word: memoryview[int] | None = None
        machine = os.uname().machine if hasattr(os, "uname") else ""  # `platform` is slow to import
        place = _TXNID_WORDS.get((sys.platform, machine))
        if place is not None and _HEAD.unpack_from(self._map) == (_MAGIC, _FORMAT):
            self.word = self._words[place : place + 1]

    def close(self) -> None:
        """Let go of the file."""
        if self.word is not None:
            self.word.release()
        self._words.release()
        self._map.close()
        os.close(self._descriptor)
