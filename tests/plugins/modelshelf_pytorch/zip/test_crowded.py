"""Archives with more members, or with more issues, than are listed."""

from __future__ import annotations

from collections import Counter

import pytest

from modelshelf.errors import ReadError
from modelshelf.model import HealthStatus
from modelshelf_pytorch.readers import BytesReader
from modelshelf_pytorch.zip.directory import MOST_MEMBERS, parse
from tests.plugins.modelshelf_pytorch.forge import EVIL, Entry, checkpoint, look_at


def test_more_members_than_any_checkpoint_has_are_refused_before_one_is_read():
    with pytest.raises(ReadError) as raised:
        parse(BytesReader(b""), bytes(46 * (MOST_MEMBERS + 1)), 0, MOST_MEMBERS + 1)
    assert raised.value.code == "not-judged"
    with pytest.raises(ReadError) as raised:
        parse(BytesReader(b""), b"", 0, MOST_MEMBERS + 1)
    assert raised.value.code == "zip-malformed"


@pytest.mark.parametrize("count", [63, 64, 65, 1000])
def test_of_very_many_faults_enough_are_reported(tmp_path, count):
    result = look_at(
        tmp_path, checkpoint(*(Entry(name=b"../%d" % number, content=b"") for number in range(count)))
    )
    codes = Counter(one.code for one in result.findings)
    assert result.status is HealthStatus.UNHEALTHY
    assert codes["zip-unsafe-path"] == min(count, 64)
    assert codes["more-issues"] == (count > 64)


def test_lesser_faults_crowd_no_attack_out(tmp_path):
    odd = [Entry(name=b"archive/note-%d" % number, content=b"x", flags=0x1) for number in range(200)]
    result = look_at(tmp_path, checkpoint(*odd, Entry(name=b"archive/evil.pkl", content=EVIL)))
    assert "unsafe-global" in {one.code for one in result.findings}
