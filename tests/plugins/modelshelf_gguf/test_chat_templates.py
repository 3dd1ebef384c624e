from __future__ import annotations

import gguf
import pytest

from modelshelf.model import Depth, HealthStatus, Severity
from modelshelf.model.chat_template import MAX_CHARACTERS
from modelshelf.model.health import NOT_JUDGED
from tests.plugins.modelshelf_gguf import forge
from tests.plugins.modelshelf_gguf.forge import file, pair, save, verdict

ATTACK = b'{{ x["__cl"~"ass__"] }}'
HONEST = b"{% for message in messages %}{{ message.tool_calls }}{% endfor %}"


def judged(tmp_path, key, value, kind=forge.STRING, **layout):
    order, count = layout.get("order", "<"), "I" if layout.get("version") == 1 else "Q"
    fields = [
        pair(b"general.architecture", forge.STRING, b"llama", order, count),
        pair(key, kind, value, order, count),
    ]
    return verdict(save(tmp_path, file(fields, **layout)))


@pytest.mark.parametrize(
    "key", [b"tokenizer.chat_template", b"tokenizer.chat_template.tool_use", b"tokenizer.chat_templates"]
)
def test_a_template_that_reaches_for_internals_degrades_the_model_under_every_key(tmp_path, key):
    result = judged(tmp_path, key, ATTACK)
    assert result.status is HealthStatus.DEGRADED
    assert result.finding("template-reaches-out").severity is Severity.WARNING
    assert judged(tmp_path, key, HONEST).status is HealthStatus.HEALTHY


def test_a_list_of_templates_is_judged_and_a_list_of_their_names_is_left_alone(tmp_path):
    key = b"tokenizer.chat_templates"
    found = judged(tmp_path, key, (forge.STRING, [HONEST, ATTACK]), forge.ARRAY)
    assert found.codes == {"template-reaches-out"}
    assert judged(tmp_path, key, (forge.STRING, [b"rag", b"tool_use"]), forge.ARRAY).codes == set()


@pytest.mark.parametrize("layout", [{}, {"version": 2}, {"order": ">"}])
@pytest.mark.parametrize("length", [70_000, 200_000])
def test_a_template_longer_than_what_is_kept_is_read_from_the_file(tmp_path, layout, length):
    key = b"tokenizer.chat_template"
    assert "template-reaches-out" in judged(tmp_path, key, b"x" * length + ATTACK, **layout).codes
    assert not judged(tmp_path, key, b"x" * length + HONEST, **layout).codes - {"big-endian"}


@pytest.mark.parametrize("length", [MAX_CHARACTERS + 1, 4 * MAX_CHARACTERS + 1, 8 << 20])
def test_a_template_of_megabytes_is_not_judged_and_never_healthy(tmp_path, length):
    result = judged(tmp_path, b"tokenizer.chat_template", b"x" * length)
    assert (result.codes, result.status) == ({NOT_JUDGED}, HealthStatus.UNKNOWN)


def test_many_templates_of_one_file_share_their_bound(tmp_path):
    names = range(6)
    fields = [pair(f"tokenizer.chat_template.n{one}".encode(), forge.STRING, b"x" * 60_000) for one in names]
    assert verdict(save(tmp_path, file(fields))).status is HealthStatus.UNKNOWN


def test_more_templates_than_are_kept_are_not_judged(tmp_path):
    found = judged(tmp_path, b"tokenizer.chat_templates", (forge.STRING, [HONEST] * 600), forge.ARRAY)
    assert (found.codes, found.status) == ({NOT_JUDGED}, HealthStatus.UNKNOWN)


@pytest.mark.parametrize("depth", [Depth.HEADER, Depth.FULL])
def test_templates_as_the_gguf_package_writes_them_are_judged(tmp_path, depth):
    path = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_chat_template(
        [
            {"name": "default", "template": HONEST.decode()},
            {"name": "tool_use", "template": ATTACK.decode()},
        ]
    )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    assert "template-reaches-out" in verdict(path, depth=depth).codes
