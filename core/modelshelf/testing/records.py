"""Records that a serializer has to write: ordinary ones, and ones whose texts come out of a hostile file."""

from __future__ import annotations

from modelshelf.model import (
    Finding,
    HealthStatus,
    Location,
    ModelConfig,
    ModelMetadata,
    ModelVersion,
    Origin,
    Severity,
)

# What steers a terminal, breaks a line, a table or a page, or is no character at all.
_HOSTILE = (
    "\x1b]8;;http://example.org\x07here\x1b[2J",
    "\x9b31m\x85\x7f",
    "left\u202eright\u2066\u2028\u2029",
    "two\nlines\r\nand\rmore\ttabs",
    "quoted \"a\" 'b', and; more\\",
    "=1+1",
    "</script><b onmouseover=alert(1)>&amp;",
    "odd\udcff\ud800",
    "no",
    "- key: [value]",
    "\U0001d56c 日本 \u0301",
)


def ordinary_records() -> list[ModelConfig]:
    """Three records as most are."""
    return [
        ModelConfig(
            id=f"lab/model-{number}",
            path=f"/models/model-{number}/model.gguf",
            version=ModelVersion(major=number),
            metadata=ModelMetadata.partial(
                Origin.HEADER, "header", format="gguf", parameters=10**9 * number, tags=("tiny", "test")
            ),
            health_status=HealthStatus.HEALTHY,
            added_at=1_700_000_000,
            updated_at=1_700_000_001,
        )
        for number in (1, 2, 3)
    ]


def hostile_records() -> list[ModelConfig]:
    """Records whose every text is out of a hostile file, with numbers that some formats have no word for."""
    return [_hostile_record(text) for text in _HOSTILE]


def _hostile_record(text: str) -> ModelConfig:
    metadata = ModelMetadata.partial(
        Origin.HEADER,
        text,
        architecture=text,
        license=text,
        title=text,
        tags=(text, text),
        parameters=2**70,
        bits_per_weight=float("nan"),
        tensor_types={text: 2**64},
        details={text: [text, None, float("inf"), -(2**70)]},
    )
    finding = Finding(code="odd", severity=Severity.WARNING, message=text, file=text, offset=2**64)
    return ModelConfig(
        id=text,
        path=f"/models/{text}",
        display_name=text,
        metadata=metadata,
        findings=[finding],
        aliases=[text],
        locations=[Location(path=f"/models/{text}", folder="/models", source=text)],
        temperature=0.5,
        added_at=0,
        updated_at=0,
    )
