"""Models that carry code beside or around their weights, each a folder, and sound ones of the same kinds.

Nothing in them is loaded: the hostile parts are written as text and opcodes into what real libraries saved.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

_CALL = b"\x80\x02cos\nsystem\nX\x02\x00\x00\x00id\x85R."
_ARGUMENTS = b"\x80\x02ctransformers.training_args\nTrainingArguments\n)\x81}X\x01\x00\x00\x00aK\x01sb."
_TEMPLATE = "{{ messages['__cl' ~ 'ass__'] }}"
_HONEST = "{% for message in messages %}{{ message.tool_calls }}{% endfor %}"

Files = dict[str, bytes]


def write(folder: Path) -> dict[Path, str]:
    """Write every model into a folder of its own; give each with ``hostile`` or ``sound``."""
    made = {}
    for name, kind, files in (*_torch(), *_beside(), *_others()):
        home = folder / name
        for file, content in files.items():
            (home / file).parent.mkdir(parents=True, exist_ok=True)
            (home / file).write_bytes(content)
        made[home] = kind
    return made


def _torch() -> Iterator[tuple[str, str, Files]]:
    """Containers of torch."""
    from tests.plugins.modelshelf_pytorch.containers import test_code as made

    script = made.scripted(made.Plain())
    yield "TorchScript", "sound", {"model.pt": script}
    yield "TorchScript with __setstate__", "hostile", {"model.pt": made.scripted(made.Restores())}
    yield "TorchScript that writes files", "hostile", {"model.pt": made.scripted(made.Writes())}
    yield "TorchScript that maps files", "hostile", {"model.pt": made.scripted(made.Maps())}
    program = made.exported()
    yield "pt2", "sound", {"model.pt2": program}
    yield "pt2 with Python for a shape", "hostile", {"model.pt2": made.rewritten(program, _poisoned)}
    root = zipfile.ZipFile(io.BytesIO(program)).namelist()[0].partition("/")[0]
    custom = made.rewritten(program, _kept, (f"{root}/data/constants/custom_obj_0", script))
    yield "pt2 with a custom object", "hostile", {"model.pt2": custom}
    library = made.rewritten(program, _kept, (f"{root}/data/aotinductor/model/m.so", b"\x7fELF\x02\x01\x01"))
    yield "AOTInductor package", "hostile", {"model.pt2": library}
    yield "torch.package of data", "sound", {"model.pt": made.packaged()}
    yield (
        "torch.package that shadows collections",
        "hostile",
        {"model.pt": made.packaged(collections="X = 1")},
    )
    yield "torch.package with an __init__", "hostile", {"model.pt": made.packaged(model="X = 1")}


def _kept(_name: str, content: bytes) -> bytes:
    return content


def _poisoned(name: str, content: bytes) -> bytes:
    if not name.endswith("models/model.json"):
        return content
    return content.replace(b"Integer(2)", b"__import__('os').getpid()", 1)


def _beside() -> Iterator[tuple[str, str, Files]]:
    """Companions of safetensors, which carry no code themselves."""
    import torch
    from safetensors.torch import save

    weights = {"model.safetensors": save({"a": torch.ones(4)})}
    state = io.BytesIO()
    torch.save({"state": {0: {"step": 1}}, "param_groups": []}, state)
    honest: Files = {"training_args.bin": _ARGUMENTS, "optimizer.pt": state.getvalue()}
    yield "honest training state", "sound", {**weights, **honest}
    for name in ("training_args.bin", "optimizer.pt", "rng_state_0.pth", "tokenizer.model", "tokenizer.pkl"):
        yield f"{name} that calls", "hostile", {**weights, name: _CALL}
    yield "plain tokenizer.pkl", "sound", {**weights, "tokenizer.pkl": pickle.dumps({"a": 1})}
    yield "chat template", "sound", {**weights, "chat_template.jinja": _HONEST.encode()}
    for name, content in (
        ("chat_template.jinja", _TEMPLATE.encode()),
        ("additional_chat_templates/rag.jinja", _TEMPLATE.encode()),
        ("tokenizer_config.json", json.dumps({"chat_template": _TEMPLATE}).encode()),
        ("config.json", b'{"auto_map": {"AutoModel": "org/other--modeling.Model"}}'),
        ("kernel.so", b"\x7fELF\x02\x01\x01"),
    ):
        yield f"reaching {name.replace('/', ' ')}", "hostile", {**weights, name: content}


def _others() -> Iterator[tuple[str, str, Files]]:
    """GGUF headers, and Keras."""
    from tests.plugins.modelshelf_gguf import forge

    for name, kind, template in (("GGUF", "sound", _HONEST), ("GGUF template", "hostile", _TEMPLATE)):
        fields = [
            forge.pair(b"general.architecture", forge.STRING, b"llama"),
            forge.pair(b"tokenizer.chat_template", forge.STRING, template.encode()),
        ]
        yield name, kind, {"model.gguf": forge.file(fields)}
    stream = io.BytesIO()
    layer = {"class_name": "Lambda", "module": "keras.layers", "config": {"name": "run", "function": _LAMBDA}}
    model = {"class_name": "Functional", "config": {"layers": [layer]}}
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.5.0"}))
        archive.writestr("config.json", json.dumps(model))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n" + bytes(64))
    yield "Keras Lambda", "hostile", {"model.keras": stream.getvalue()}


_LAMBDA = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None, "closure": None}}
