"""A home with every tool's store in it."""

from __future__ import annotations

from pathlib import Path

from tests.plugins.modelshelf_sources.stores import (
    COMMIT,
    OTHER_COMMIT,
    HubCache,
    OllamaStore,
    gguf_bytes,
    put,
    safetensors_bytes,
    sha256,
    sparse,
)

MODELS = {
    "meta-llama/Llama-3.2-1B": "huggingface",
    "bartowski/Tiny-GGUF:Q4_K_M": "huggingface",
    "bartowski/Tiny-GGUF:Q8_0": "huggingface",
    "qwen/old@aaaaaaaa": "huggingface",
    "llama3.2:1b": "ollama",
    "hf.co/bartowski/Phi-GGUF:Q4_K_M": "ollama",
    "lmstudio-community/Gemma-GGUF": "lmstudio",
    "checkpoints/dreamshaper": "comfyui",
    "loras/pixel": "comfyui",
    "text_encoders/t5": "comfyui",
    "ggml-org/tiny-mix:Q8_0": "llamacpp",
    "juggernaut": "invokeai",
    "smollm:135m": "ramalama",
}
"""Ids of all models of the home, and the source that finds each."""


def build_home(home: Path) -> Path:
    """Fill a home folder; one model lies in three stores, each other in one."""
    _hub(HubCache(home / ".cache/huggingface/hub"))
    _ollama(OllamaStore(home / ".ollama/models"))
    shared = gguf_bytes("shared")
    put(home / ".lmstudio/models/lmstudio-community/Gemma-GGUF/gemma-Q4_K_M.gguf", gguf_bytes("gemma"))
    put(home / ".lmstudio/models/lmstudio-community/Gemma-GGUF/mmproj-gemma-f16.gguf", gguf_bytes("eye"))
    put(home / ".lmstudio/models/meta/Llama-GGUF/llama.gguf", shared)
    comfy = home / "ComfyUI"
    put(comfy / "main.py")
    put(comfy / "models/checkpoints/dreamshaper.safetensors", safetensors_bytes(11))
    put(comfy / "models/checkpoints/put_checkpoints_here")
    put(comfy / "models/loras/pixel.safetensors", safetensors_bytes(12))
    put(comfy / "models/clip/t5.safetensors", safetensors_bytes(13))
    flat = home / ".cache/llama.cpp"
    put(flat / "ggml-org_tiny-mix_tiny-Q8_0.gguf", gguf_bytes("mix"))
    put(flat / "manifest=ggml-org=tiny-mix=Q8_0.json", {"ggufFile": {"rfilename": "tiny-Q8_0.gguf"}})
    uuid = "6a5c8fc1-3b2d-4e8c-9a57-1f0de4dc0a11"
    put(home / f"invokeai/models/{uuid}/juggernaut.safetensors", safetensors_bytes(14))
    put(home / "invokeai/invokeai.yaml", "schema_version: 4.0.2\n")
    _ramalama(home / ".local/share/ramalama/store")
    return home


def _hub(cache: HubCache) -> None:
    cache.add("meta-llama/Llama-3.2-1B", {"model.safetensors": safetensors_bytes(1), "config.json": b"{}"})
    quants = {"tiny-Q4_K_M.gguf": gguf_bytes("q4"), "tiny-Q8_0.gguf": gguf_bytes("q8")}
    cache.add("bartowski/Tiny-GGUF", quants)
    cache.add("meta/Llama-GGUF", {"llama.gguf": gguf_bytes("shared")})
    cache.add("qwen/old", {"model.safetensors": safetensors_bytes(2)}, commit="a" * 40, ref=None)
    repository = cache.repository("bartowski/Tiny-GGUF")
    sparse(repository / "blobs" / f"{'9' * 64}.0badcafe.incomplete", 1 << 30, b"x" * 8192)
    put(repository / "blobs" / ("8" * 64), b"o" * 100)
    put(cache.repository("bartowski/Tiny-GGUF") / ".no_exist" / COMMIT / "config.json")
    put(cache.root / "datasets--a--b/snapshots" / OTHER_COMMIT / "data.bin", b"no model")
    put(cache.root / ".locks/models--a--b/x.lock")


def _ollama(store: OllamaStore) -> None:
    config = {"model_format": "gguf", "model_family": "llama", "model_type": "1.2B", "file_type": "Q8_0"}
    weights = store.layer("model", gguf_bytes("shared"))
    template = store.layer("template", "{{ .Prompt }}")
    store.manifest("llama3.2", [weights, template], config, tag="1b")
    store.manifest("my-llama", [weights, store.layer("system", "Be brief.")], config)
    store.manifest(
        "Phi-GGUF",
        [store.layer("model", gguf_bytes("phi"))],
        host="hf.co",
        namespace="bartowski",
        tag="Q4_K_M",
    )
    store.manifest(
        "gpt-oss",
        [],
        {"remote_host": "https://ollama.com:443", "remote_model": "gpt-oss:120b"},
        tag="120b-cloud",
    )
    sparse(store.root / "blobs" / f"sha256-{'7' * 64}-partial", 1 << 30, b"y" * 8192)
    put(
        store.root / "blobs" / f"sha256-{'7' * 64}-partial-0",
        {"N": 0, "Offset": 0, "Size": 1 << 30, "Completed": 8192},
    )
    store.blob(b"an orphan")


def _ramalama(store: Path) -> None:
    folder = store / "ollama/library/smollm"
    content = gguf_bytes("smol")
    blob = put(folder / f"blobs/sha256-{sha256(content)}", content)
    snapshot = folder / f"snapshots/sha256-{'5' * 64}"
    snapshot.mkdir(parents=True)
    (snapshot / "smollm").symlink_to(f"../../blobs/{blob.name}")
    put(
        folder / "refs/135m.json",
        {
            "hash": f"sha256:{'5' * 64}",
            "path": str(folder / "refs/135m.json"),
            "version": "v1.0.1",
            "files": [{"hash": blob.name.replace("-", ":"), "name": "smollm", "type": "model"}],
        },
    )
