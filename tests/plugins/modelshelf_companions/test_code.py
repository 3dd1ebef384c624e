from __future__ import annotations

import json

import pytest

from modelshelf.model import Depth, Severity
from modelshelf.model.chat_template import MAX_CHARACTERS
from modelshelf.model.health import NOT_JUDGED
from modelshelf.reader import ArtifactReader
from modelshelf_companions import modelshelf_probe_health
from tests.support import artifact_of


def findings(tmp_path, name, content):
    weights, beside = tmp_path / "model.safetensors", tmp_path / name
    weights.write_bytes(b"weights")
    beside.parent.mkdir(exist_ok=True)
    beside.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    with ArtifactReader(artifact_of(weights, companions=(beside,))) as reader:
        return [(one.code, one.severity) for one in modelshelf_probe_health(reader, Depth.HEADER)]


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


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("preprocessor_config.json", {"auto_map": {"AutoProcessor": "processing.Own"}}),
        ("processor_config.json", {"auto_map": {"AutoProcessor": "processing.Own"}}),
        ("video_preprocessor_config.json", {"auto_map": {"AutoVideoProcessor": "video.Own"}}),
        ("generation_config.json", {"auto_map": "generation.Own"}),
        ("tokenizer_config.json", {"auto_map": ["tokenization.Own", None]}),
        ("config.json", {"text_config": {"auto_map": {"AutoConfig": "configuration.Own"}}}),
        ("config.json", {"custom_pipelines": {"task": {"impl": "pipeline.Own", "pt": ["AutoModel"]}}}),
        ("model_index.json", {"_class_name": ["pipeline_own", "OwnPipeline"]}),
        ("modules.json", [{"idx": 0, "type": "custom.Transformer"}]),
    ],
)
def test_code_of_its_own_is_an_info_in_each_of_its_places(tmp_path, name, content):
    assert findings(tmp_path, name, content) == [("own-code", Severity.INFO)]
    elsewhere = json.loads(json.dumps(content).replace("Own", "b--c.Own").replace("custom.", "a/b--c."))
    assert findings(tmp_path, name, elsewhere) == [("code-elsewhere", Severity.WARNING)]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model_index.json", {"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet"]}),
        ("modules.json", [{"idx": 0, "type": "sentence_transformers.models.Transformer"}]),
        ("config.json", {"custom_pipelines": {}, "auto_map": {}}),
    ],
)
def test_classes_of_installed_packages_are_no_code_beside(tmp_path, name, content):
    assert findings(tmp_path, name, content) == []


@pytest.mark.parametrize("folder", ["additional_chat_templates", "chat_templates"])
def test_a_template_of_a_folder_for_them_is_judged(tmp_path, folder):
    found = findings(tmp_path, f"{folder}/tool_use.jinja", b"{{ x.__class__ }}")
    assert found == [("template-reaches-out", Severity.WARNING)]


@pytest.mark.parametrize("name", ["kernel.so", "libx.so.1.2", "a.dll", "a.DYLIB", "_c.cpython-311.pyd"])
def test_machine_code_beside_the_weights_is_a_warning(tmp_path, name):
    assert findings(tmp_path, name, b"\x7fELF") == [("native-code", Severity.WARNING)]


def test_a_template_too_long_to_read_is_not_judged(tmp_path):
    for length in (MAX_CHARACTERS + 1, 20 << 20):
        assert [code for code, _ in findings(tmp_path, "chat_template.jinja", b"x" * length)] == [NOT_JUDGED]


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "modules.json"])
def test_a_document_too_large_to_read_is_not_judged(tmp_path, name):
    assert NOT_JUDGED in {code for code, _ in findings(tmp_path, name, b" " * (20 << 20))}


def test_a_million_classes_and_deep_ones_are_judged(tmp_path):
    classes: object = ["m.C"] * 500_000 + ["o/r--m.C"]
    for _ in range(500):
        classes = [classes]
    found = findings(tmp_path, "processor_config.json", {"auto_map": classes})
    assert found == [("code-elsewhere", Severity.WARNING)]
