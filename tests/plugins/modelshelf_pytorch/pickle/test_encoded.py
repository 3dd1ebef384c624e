"""Strings that are decoded, fast and in the obvious way; and what only looks like a pickle."""

from __future__ import annotations

import base64
import gzip
import pickle
import random
import re
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf_pytorch.pickle.audit import Verdict, audit
from modelshelf_pytorch.pickle.embedded import Effort, decode, find_hidden
from tests.plugins.modelshelf_pytorch.forge import EVIL, EVIL_4

WITHOUT_PROTO = EVIL_4[2:]
PACKED = {
    "raw": bytes,
    "base64": base64.b64encode,
    "url-safe base64": base64.urlsafe_b64encode,
    "base64 in lines": base64.encodebytes,
    "base64 twice": lambda data: base64.b64encode(base64.b64encode(data)),
    "hex": lambda data: data.hex().encode(),
    "hex in pairs": lambda data: data.hex(" ").encode(),
    "hex with colons": lambda data: data.hex(":").encode(),
    "escaped hex": lambda data: "".join(f"\\x{code:02x}" for code in data).encode(),
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "zlib in base64": lambda data: base64.b64encode(zlib.compress(data)),
}


@pytest.mark.parametrize("pack", PACKED)
@pytest.mark.parametrize(
    "hidden", [EVIL, EVIL_4, WITHOUT_PROTO, b"\x80\x00" + EVIL, b"\x80\x01" + EVIL_4[2:]]
)
@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_in_a_string_is_found_however_it_is_packed(pack, hidden, protocol):
    for value in (PACKED[pack](hidden), PACKED[pack](hidden).decode("latin-1")):
        result = audit(pickle.dumps({"notes": value}, protocol))
        assert result.verdict is Verdict.SUSPICIOUS
        assert "system" in result.issues[0].message


def plainly(data: bytes) -> set[tuple[str, bytes]]:
    """The same as `decode` by expressions over the whole of it."""
    flat = re.sub(rb"(?<=[A-Za-z0-9+/=])\s+(?=[A-Za-z0-9+/=])", b"", data)
    result = {
        ("hex", bytes.fromhex(one[0].decode())) for one in re.finditer(rb"(?:[0-9a-fA-F]{2}){8,}", flat)
    }
    for one in re.finditer(rb"(?:\\x[0-9a-fA-F]{2}){8,}|[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){7,}", data):
        result.add(("hex", bytes.fromhex(re.sub(r"[\\x:]", "", one[0].decode()))))
    for one in re.finditer(rb"[A-Za-z0-9+/_-]{16,}", flat):
        text = one[0].translate(bytes.maketrans(b"-_", b"+/"))
        text = text[:-1] if len(text) % 4 == 1 else text
        result.add(("base64", base64.b64decode(text + b"=" * (-len(text) % 4))))
    return result


PARTS = [b"80", b"04", b"AF", b"x", b"\\x", b"\\x41", b":", b" ", b"\n", b"=", b"==", b"-", b"_", b"+/", b"."]


@settings(deadline=None, max_examples=500)
@given(
    st.lists(st.sampled_from([*PARTS, b"\x80", b"\xff", b"abcdefgh", b"ab:" * 8, b"\\xab" * 8]), max_size=30)
)
def test_undoing_finds_what_expressions_over_the_whole_find(parts):
    data = b"".join(parts)
    assert {(encoding, inner) for encoding, _, inner in decode(data)} == plainly(data)


@pytest.mark.parametrize("length", [20, 3000])
def test_random_bytes_hold_no_pickle(length):
    numbers = random.Random(5)  # noqa: S311 - no secret
    assert [one for _ in range(3000) for one in find_hidden(numbers.randbytes(length))] == []


@pytest.mark.parametrize(
    "noise", [b"\x80\x02\x83m6.", b"\x80\x02\x84\x1e\xfa\x98\xb0.", b"cache\nbuild\n.git\n", b"\x80\x04N."]
)
def test_what_random_bytes_and_lists_of_names_spell_by_chance_is_no_pickle(noise):
    for before in (b"some text\n", bytes(300)):
        assert list(find_hidden(before + noise)) == []


@pytest.mark.parametrize(
    "decoy", [b"\x80\x02\xff", b"cos\nsystem\n\xff", b"d41d8cd98f00b204 ", b"abcdefghijklmnop."]
)
@pytest.mark.parametrize("hidden", [EVIL, EVIL_4, base64.b64encode(EVIL_4), EVIL_4.hex().encode()])
def test_decoys_hide_nothing(decoy, hidden):
    result = audit(pickle.dumps({"notes": decoy * 1000 + hidden}, 4))
    assert (
        {"embedded-pickle"} <= {issue.code for issue in result.issues} <= {"embedded-pickle", "code-string"}
    )


@pytest.mark.parametrize("before", [b"basic", b"iii", b"(x", b"icicle\n", b"a (b) c\nwords\nin\nlines\n"])
@pytest.mark.parametrize("hidden", [EVIL, b"(S'id'\nios\nsystem\n."])
def test_a_pickle_of_lines_is_found_behind_letters_that_are_opcodes(before, hidden):
    found = [use.name for one in find_hidden(before + hidden) for use in one.outcome.globals]
    assert "system" in found


def test_a_list_of_many_words_hides_no_pickle_and_costs_little():
    letters = random.Random(7)  # noqa: S311 - no secret
    words = [
        "".join(letters.choices("abcdefghijklmnopqrstuvwxyz", k=letters.randint(2, 9))) for _ in range(40_000)
    ]
    assert audit(pickle.dumps({"vocab": "\n".join(words), "merges": " ".join(words)}, 4)).issues == ()


def test_a_hash_that_begins_as_a_short_pickle_does_is_no_pickle():
    for start in (b"\x80\x02N.", b"\x80\x04).", b"\x80\x03K\x01."):
        digest = start + bytes(range(100, 132 - len(start)))
        assert audit(pickle.dumps({"sha256": digest.hex(), "raw": digest}, 4)).issues == ()
        assert audit(pickle.dumps({"raw": start}, 4)).verdict is Verdict.SUSPICIOUS


def test_long_strings_are_searched_up_to_a_bound_for_the_whole_file_and_it_is_no_fault_to_have_more():
    effort = Effort()
    effort.searched = 100_000
    value = [bytes(80_000), bytes(80_000), EVIL_4 + bytes(80_000)]
    assert audit(pickle.dumps(value, 4), effort=effort).issues == ()
    assert effort.searched == 0
    assert audit(pickle.dumps(value, 4)).verdict is Verdict.SUSPICIOUS
