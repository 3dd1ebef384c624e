from __future__ import annotations

import json

import pytest

from modelshelf.model import Depth, Severity
from modelshelf.model.health import NOT_JUDGED
from modelshelf.reader import ArtifactReader
from modelshelf_companions import modelshelf_probe_health
from modelshelf_companions.templates import suspicions
from tests.support import artifact_of


def findings(tmp_path, name, content):
    weights, beside = tmp_path / "model.safetensors", tmp_path / name
    weights.write_bytes(b"weights")
    beside.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with ArtifactReader(artifact_of(weights, companions=(beside,))) as reader:
        return [(one.code, one.severity) for one in modelshelf_probe_health(reader, Depth.HEADER)]


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ x|attr('__cl' ~ 'ass__') }}",
        "{{ x['_' ~ '_class_' ~ '_'] }}",
        "{{ x['__%s__' % 'class'] }}",
        r"{{ x['\x5f\x5fclass\u005f_'] }}",
        "{{ {'a': {'b': 1}}.__class__ }}",
        "{{ '}}' }}{{ x.__init__ }}",
        "{% raw %}{#{% endraw %}{{ x.__init__ }}{# #}",
        "{%- include 'other' %}",
        "{% from 'a' import b %}",
        "{% extends x %}",
        "{{ x | attr(name) }}",
    ],
)
def test_a_template_that_reaches_for_internals_or_files_is_named(template):
    assert suspicions(template)


@pytest.mark.parametrize(
    "template",
    [
        "{% for message in messages %}{{ message.tool_calls }}{{ message['content'] }}{% endfor %}",
        "Call __init__ {{ x }} import this {# x.__class__ #}",
        "{% raw %}{{ x.__class__ }}{% endraw %}",
        "{{ name.replace('_', ' ') }}{{ 'include the import' }}",
    ],
)
def test_an_honest_template_is_left_alone(template):
    assert suspicions(template) == []


def test_a_million_characters_of_unclosed_quotes_take_no_time():
    assert suspicions("{{ " + "'\\" * 400_000) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("chat_template.jinja", b"{{ x.__class__ }}"),
        ("chat_template.json", {"chat_template": "{{ x.__class__ }}"}),
        ("tokenizer_config.json", {"chat_template": "{{ x.__class__ }}"}),
        ("tokenizer_config.json", {"chat_template": [{"name": "a", "template": "{{ x.__class__ }}"}]}),
    ],
)
def test_a_template_is_judged_in_each_of_its_places(tmp_path, name, content):
    assert findings(tmp_path, name, content) == [("template-reaches-out", Severity.WARNING)]


def test_code_of_its_own_is_an_info_and_that_of_another_repository_a_warning(tmp_path):
    assert findings(tmp_path, "config.json", {"auto_map": {"AutoModel": "modeling.Own"}}) == [
        ("own-code", Severity.INFO)
    ]
    assert findings(tmp_path, "config.json", {"auto_map": {"AutoTokenizer": [None, "a/b--m.C"]}}) == [
        ("code-elsewhere", Severity.WARNING)
    ]


def test_a_template_too_long_to_read_is_not_judged(tmp_path):
    assert [code for code, _ in findings(tmp_path, "chat_template.jinja", b"x" * (2 << 20))] == [NOT_JUDGED]
