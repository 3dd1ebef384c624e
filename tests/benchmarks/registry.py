"""The registry in a program: look-ups against a dictionary, finding against decoding every record."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

from modelshelf import (
    ArtifactFile,
    HealthStatus,
    Location,
    ModelConfig,
    ModelMetadata,
    ModelRegistry,
    Origin,
    Query,
)
from modelshelf.records.codec import decode_record
from modelshelf.records.json import openai_listing
from modelshelf.records.write import Records
from tests.benchmarks.measure import Comparison, Skipped, Workshop, side_by_side

_BATCH = 5000
_LOOK_UPS = 100_000
_HUNDRED = 100
_LISTING_SECONDS = 10e-6
_JSON_SECONDS = 1e-3
_RARE = 50  # one record in so many has each value that is looked for
_COMMON = ("Q4_K_M", "F16", "Q8_0", "BF16")
_ARCHITECTURES = ("llama", "qwen2", "bert", "gemma2", "phi3")


def comparisons(workshop: Workshop) -> Iterator[Comparison | Skipped]:
    """Goals: a look-up, a listing, its JSON, and finding among 100,000 records."""
    many = workshop.scaled(100_000)
    yield from _hundred(workshop)
    folder = fill(workshop.room("registry") / f"of-{many}", many)
    yield _look_ups(workshop, folder, many)
    yield from _finding(workshop, folder, many)


def fill(folder: Path, count: int) -> Path:
    """A store of `count` records as a scan of as many language models would leave it; the folder."""
    with ModelRegistry(folder, folder) as registry:
        for start in range(0, count, _BATCH):
            numbers = range(start, min(start + _BATCH, count))
            registry.store.update(lambda state, numbers=numbers: _put(Records(state), numbers))
    return folder


def model(number: int) -> ModelConfig:
    """One record of `fill`; the same number gives the same one."""
    rare = number % _RARE == 0
    architecture = _ARCHITECTURES[number % len(_ARCHITECTURES)]
    quantization = _COMMON[number % len(_COMMON)]
    name = f"org-{number % 97}/{architecture}-{number:06d}"
    folder = f"/srv/models/{name}"
    size = 2_000_000_000 + number
    file = ArtifactFile(name=f"{quantization}.gguf", size=size, mtime_ns=10**18 + number, inode=number + 1)
    return ModelConfig(
        id=name,
        path=f"{folder}/{file.name}",
        metadata=ModelMetadata.partial(
            Origin.HEADER,
            "general.name",
            architecture="mamba" if rare else architecture,
            quantization="IQ2_XXS" if rare else quantization,
            format="pytorch" if rare else ("gguf", "safetensors")[number % 2],
            parameters=1_000_000 * (number % 900 + 1),
            context_length=8192,
            tags=("chat", "rare") if rare else ("chat", "en"),
            source="local",
            license="apache-2.0",
            size_bytes=size,
            title=f"Model {number}",
            embedding_length=4096,
            block_count=32,
            head_count=32,
            head_count_kv=8,
            vocab_size=128_256,
            tokenizer="gpt2",
            tensor_count=291,
            tensor_types={"F32": 66, "Q4_K": 193, "Q6_K": 32},
        ),
        health_status=HealthStatus.DEGRADED if rare else HealthStatus.HEALTHY,
        locations=(
            Location(
                path=f"{folder}/{file.name}",
                folder=folder,
                files=(file,),
                fingerprint=number.to_bytes(16, "little"),
            ),
        ),
        content_digest=number.to_bytes(32, "little"),
        added_at=1_700_000_000,
        updated_at=1_700_000_000,
    )


def _put(records: Records, numbers: range) -> None:
    for number in numbers:
        records.put(model(number))


def _hundred(workshop: Workshop) -> Iterator[Comparison]:
    folder = fill(workshop.room("registry") / "of-100", _HUNDRED)
    with ModelRegistry(folder, folder, readonly=True) as registry:
        models = list(registry)
        data = openai_listing(models)
        text = registry.to_json()
        ours, dumps = side_by_side(registry.to_json, lambda: json.dumps(data), workshop.rounds, repeat=200)
        listing, _ = side_by_side(registry.list_models, registry.list_models, workshop.rounds, repeat=2000)
    yield Comparison(
        case="list_models of 100, warm",
        ours=listing,
        peer=_LISTING_SECONDS,
        peer_name="the figure to reach, 10 µs",
        goal=1,
    )
    yield Comparison(
        case="to_json of 100, warm",
        ours=ours,
        peer=_JSON_SECONDS,
        peer_name="the figure to reach, 1 ms",
        goal=1,
        note=f"{len(text)} bytes",
    )
    yield Comparison(
        case="to_json of 100, warm",
        ours=ours,
        peer=dumps,
        peer_name="json.dumps of the same data, ready made",
    )


def _look_ups(workshop: Workshop, folder: Path, many: int) -> Comparison:
    """Every id in a random order, so that both sides miss the processor's caches alike."""
    with ModelRegistry(folder, folder, readonly=True) as registry:
        ids = registry.list_models()[: workshop.scaled(10_000)]
        models = {model_id: registry.get(model_id) for model_id in ids}
        asked = random.Random(8).choices(ids, k=_LOOK_UPS)  # noqa: S311 - an order, no secret

        def ours() -> None:
            for model_id in asked:
                registry.get(model_id)

        def peer() -> None:
            for model_id in asked:
                models[model_id]

        taken, theirs = side_by_side(ours, peer, max(workshop.rounds, 7))
    return Comparison(
        case=f"get, warm, {len(ids)} of {many} models in random order",
        ours=taken / _LOOK_UPS,
        peer=theirs / _LOOK_UPS,
        peer_name="dict look-up",
        goal=4,
        note="both in the same for loop; another process's commit is seen by the next get",
    )


def _finding(workshop: Workshop, folder: Path, many: int) -> Iterator[Comparison]:
    queries = {
        "format": Query(format="pytorch"),
        "architecture": Query(architecture="mamba"),
        "quantization": Query(quantization="IQ2_XXS"),
        "health": Query(health="degraded"),
        "tag": Query(tag="rare"),
    }
    for name, query in queries.items():
        first, all_ = side_by_side(
            lambda query=query: _found_first(folder, query), lambda: _decoded_first(folder), workshop.rounds
        )
        yield Comparison(
            case=f"find by {name} of {many}, in a registry just opened",
            ours=first,
            peer=all_,
            peer_name="decoding them one by one, in a registry just opened",
            goal=0.2,
            note=f"1 in {_RARE} found, and decoded whole",
        )
    with ModelRegistry(folder, folder, readonly=True) as opened:
        again = [(f"find by {name} of {many}, again", query) for name, query in queries.items()]
        for case, query in again:
            taken, all_ = side_by_side(
                lambda query=query: opened.find(query), lambda: _decode_all(opened), workshop.rounds
            )
            yield Comparison(
                case=case,
                ours=taken,
                peer=all_,
                peer_name="decoding them one by one",
                goal=0.2,
                note="summaries are remembered until the next commit",
            )


def _decode_all(registry: ModelRegistry) -> None:
    registry.store.view(
        lambda state: sum(1 for key, value in state.scan(b"m\0") if decode_record(key, value))
    )


def _decoded_first(folder: Path) -> None:
    with ModelRegistry(folder, folder, readonly=True) as registry:
        _decode_all(registry)


def _found_first(folder: Path, query: Query) -> None:
    with ModelRegistry(folder, folder, readonly=True) as registry:
        registry.find(query)
