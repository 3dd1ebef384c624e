"""Streams that copy or hash the same values over and over: found before that costs memory or time."""

from __future__ import annotations

import pickle
import struct
import tracemalloc

import pytest

from modelshelf_pytorch.pickle.audit import Verdict, audit

LONG = b"B" + struct.pack("<I", 65536) + b"A" * 65536
TEXT = b"X" + LONG[1:]
LIST = b"](" + b"K\x01" * 1000 + b"e"
DICT = b"}(" + b"K\x01N" * 1000 + b"u"
TUPLE = b"(" + b"K\x01" * 1000 + b"t"

CALLS = {
    "bytearray": (b"cbuiltins\nbytearray\n", LONG),
    "encode": (b"c_codecs\nencode\n", TEXT),
    "set": (b"cbuiltins\nset\n", LIST),
    "frozenset": (b"cbuiltins\nfrozenset\n", LIST),
    "OrderedDict": (b"ccollections\nOrderedDict\n", DICT),
    "Counter": (b"ccollections\nCounter\n", DICT),
    "Size": (b"ctorch\nSize\n", LIST),
}


def cost(data: bytes) -> tuple[Verdict, set[str], int]:
    """The verdict, the codes, and the most memory that the audit took."""
    tracemalloc.start()
    result = audit(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return result.verdict, {issue.code for issue in result.issues}, peak


@pytest.mark.parametrize("name", CALLS)
def test_a_call_that_copies_the_same_again_and_again_is_a_bomb(name):
    function, given = CALLS[name]
    verdict, codes, peak = cost(
        b"\x80\x03" + function + b"q\x00" + given + b"q\x01](" + b"h\x00h\x01\x85R" * 20_000 + b"e."
    )
    assert (verdict, codes) == (Verdict.DANGEROUS, {"memory-bomb"})
    assert peak < 20_000_000


@pytest.mark.parametrize(
    "again",
    [
        pytest.param(b"}(" + b"h\x00N" * 20_000 + b"u0", id="SETITEMS"),
        pytest.param(b"}" + b"h\x00Ns" * 20_000 + b"0", id="SETITEM"),
        pytest.param(b"\x8f(" + b"h\x00" * 20_000 + b"\x900", id="ADDITEMS"),
        pytest.param(b"(h\x00Nd0" * 20_000, id="DICT"),
        pytest.param(b"(h\x00\x910" * 20_000, id="FROZENSET"),
    ],
)
def test_a_long_key_that_is_used_again_and_again_is_looked_through_within_a_bound(again):
    data = b"\x80\x04" + TUPLE + b"q\x000" + again + b"cos\nsystem\n."
    verdict, codes, _ = cost(data)
    assert verdict is Verdict.DANGEROUS
    assert codes & {"memory-bomb", "unsafe-global"}


def test_what_is_appended_to_something_opaque_costs_no_more_than_its_bytes():
    _, _, peak = cost(b"\x80\x02cfoo\nBar\n)Rq\x00" + b"h\x00(K\x01K\x01K\x01e0" * 60_000 + b"N.")
    assert peak < 20_000_000


SHARED = tuple(range(40))
HONEST = {
    "a deep key": {((((((1,),),),),),): 1},
    "a long key": {tuple(range(3000)): 1},
    "a key that is shared": [{SHARED: number} for number in range(5000)],
    "many keys": {(number, number + 1): number for number in range(20_000)},
    "a large set": set(range(50_000)),
    "many sets": [frozenset({number, "a"}) for number in range(5000)],
    "many bytearrays": [bytearray(b"x" * 3000) for _ in range(300)],
    "long bytes": [b"x" * 60_000 for _ in range(20)],
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("case", HONEST)
def test_honest_data_is_no_bomb(case, protocol):
    assert audit(pickle.dumps(HONEST[case], protocol)).issues == ()
