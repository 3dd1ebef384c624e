from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelshelf.model import Severity, chat_template
from modelshelf.model.chat_template import MAX_CHARACTERS, suspicions, template_findings
from modelshelf.model.health import NOT_JUDGED


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ x['__class__'] }}",
        "{{ x|attr('__cl' ~ 'ass__') }}",
        '{{ x["__cl" ~ "ass__"] }}',
        "{{ x['_' ~ '_class_' ~ '_'] }}",
        "{{ x['_' + '_class_' + '_'] }}",
        "{{ x['_' '_class_' '_'] }}",
        "{{ x[['_', '_class_', '_']|join] }}",
        "{{ x[''.join(['_', '_class_', '_'])] }}",
        "{{ x['__%s__' % 'class'] }}",
        "{{ x['%s%sclass%s%s' % ('_', '_', '_', '_')] }}",
        "{{ x['{0}{1}class'.format('_', '_')] }}",
        "{{ x['_' * 2 ~ 'class' ~ 2 * '_'] }}",
        r"{{ x['\x5f\x5fclass\u005f_'] }}",
        r"{{ x['\137\137class'] }}",
        r"{{ x['\N{LOW LINE}\N{LOW LINE}class'] }}",
        "{{ x['_\\\n' '\\\n_class'] }}",
        "{{ x['_\\\r\n' '\\\r\n_class'] }}",
        "{{ x['~~class~~'|replace('~', '_')] }}",
        "{{ x['~~class~~'.replace('~', '_')] }}",
        "{{ x['%c%cclass%c%c' % (95, 95, 95, 95)] }}",
        "{% set u = '_' %}{{ x[u ~ u ~ 'class' ~ u ~ u] }}",
        "{% set u = '_' %}{% set v = u ~ u ~ 'class' ~ u ~ u %}{{ x[v] }}",
        "{%- set ns.u = '_' -%}{{ x[ns.a ~ ns['b']].y }}{{ x.__init__ }}",
        "{% if a %}{% set u = '_' %}{% else %}{% set u = 'x' %}{% endif %}{{ x[u ~ u ~ 'class'] }}",
        "{{ {'a': {'b': 1}}.__class__ }}",
        "{{ '}}' }}{{ x.__init__ }}",
        "{% raw %}{#{% endraw %}{{ x.__init__ }}{# #}",
        "{%- include 'other' %}",
        "{%+ import 'other' as x %}",
        "{% from 'a' import b %}",
        "{% extends x %}",
        "{{ x | attr(name) }}",
        "{{ [x] | map('attr', name) | list }}",
        "{% filter attr('x') %}{% endfilter %}",
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
        "{{ a ~ '_' ~ b ~ '_' ~ c }}",
        "{% set sep = '_' %}{{ a ~ sep ~ b ~ sep ~ c }}",
        "{{ name | replace(' ', '_') }}{{ messages[loop.index0 - 1]['role'] }}{{ messages[i % 2 * 3] }}",
        "{% set ns = namespace(found=false, text='') %}{% set ns.text = ns.text + 'a_' %}{{ ns.text }}",
        "{% set role = 'tool_' if a else '_x' %}{{ role }}{{ role }}",
        "{{ '%Y-%m-%d' }}{{ '100%' }}{{ content.split('</think>')[-1].lstrip('\\n') }}",
        "{%- if tools is not none and loop.index0 == 1 and not ('a' in x) -%}{{- bos_token -}}{%- endif -%}",
    ],
)
def test_an_honest_template_is_left_alone(template):
    assert suspicions(template) == ()


PIECES = st.sampled_from(
    [
        *("{{", "}}", "{%", "%}", "{#", "#}", "set u =", "u", "x", "~", "+", "*", "2", "|", ".", "[", "]"),
        *("'_'", "'_a'", "'a_'", "'__'", '"_"', r"'\x5f'", r"'\137'", "'a\\\n'", "'_\\\r\n'", "'%c'"),
        *("replace(", "attr(", "map(", "join", ")", "import", "include 'a'", "- from", "'{:c}'", " ", "\n"),
    ]
)


@settings(deadline=None, max_examples=500)
@given(st.lists(PIECES, max_size=14))
def test_what_is_left_out_at_a_first_look_holds_nothing(pieces):
    template = "".join(pieces)
    if not chat_template._is_worth_a_look(template):
        assert chat_template._by_blocks(template) == ()


@pytest.mark.parametrize(
    "template",
    [
        "{{ " + "'\\" * 100_000,
        "{%" + " " * 250_000,
        "{% set u = '" + "a" * 60 + "' %}{{ " + "u~" * 100_000 + "u }}",
        "{% set u = '" + "a" * 60 + "' %}{{ u" + "*9" * 100_000 + " }}",
        "{% set u = 'a' %}" + "{% set u = u ~ u %}" * 10_000,
        "{%" * 120_000,
        "{% raw %}" * 25_000,
    ],
)
def test_a_long_template_that_repeats_itself_is_judged(template):
    assert isinstance(suspicions(template), tuple)


def test_a_suspicion_is_a_warning_in_its_file_and_longer_templates_are_not_judged():
    (warning,) = template_findings(["{{ x }}", "{{ x.__class__ }}"], "a.gguf")
    assert (warning.code, warning.severity, warning.file) == (
        "template-reaches-out",
        Severity.WARNING,
        "a.gguf",
    )
    found = list(template_findings(["{{ x.__class__ }}", "x" * MAX_CHARACTERS], "a.jinja"))
    assert [one.code for one in found] == [NOT_JUDGED, "template-reaches-out"]
    assert list(template_findings(["{{ x }}"], "a.jinja")) == []
