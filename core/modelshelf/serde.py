"""The one converter between values and plain data, for the store and between processes.

Import it where it is used: cattrs costs more than all the rest of a start.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cattrs
from cattrs.preconf.msgpack import make_converter

from modelshelf.errors import DamagedStoreError
from modelshelf.model import ModelConfig, ModelVersion
from modelshelf.sealed import Summary, close_up, open_up, pack, printable, unpack

if TYPE_CHECKING:
    from cattrs import Converter


@lru_cache(maxsize=1)
def converter() -> Converter:
    """The converter; unknown fields, which a newer minor release may write, are left out on reading."""
    made = make_converter(omit_if_default=True, detailed_validation=False)
    made.register_unstructure_hook(ModelVersion, str)
    made.register_structure_hook(ModelVersion, lambda text, _: ModelVersion.parse(text))
    made.register_unstructure_hook(frozenset, sorted)
    made.register_unstructure_hook(bytes, lambda data: data)
    made.register_structure_hook(bytes, lambda data, _: bytes(data))
    # Text comes from msgpack as text, and lone surrogates in it must not pass through an encoder.
    made.register_structure_hook_func(lambda kind: kind == dict[str, Any], lambda content, _: dict(content))
    return made


def seal(key: bytes, config: ModelConfig) -> bytes:
    """A record as it is stored."""
    return close_up(key, pack(converter().unstructure(config)), pack(list(summary_of(config))))


def unseal(key: bytes, value: bytes) -> ModelConfig:
    """What `seal` sealed.

    Raises:
        DamagedStoreError: The checksum does not match, or the content is no record.
        StoreError: A newer release wrote it.
    """
    content = open_up(key, value)[1]
    try:
        return converter().structure(unpack(content), ModelConfig)
    except (ValueError, TypeError, KeyError, cattrs.BaseValidationError) as error:
        raise DamagedStoreError(f"record {printable(key)} cannot be read: {error}") from None


def summary_of(config: ModelConfig) -> Summary:
    """The listing fields of a record."""
    told = config.metadata
    return Summary(
        id=config.id,
        version=str(config.version),
        display_name=config.display_name,
        path=config.path,
        format=told.format,
        architecture=told.architecture,
        quantization=told.quantization,
        parameters=told.parameters,
        parameter_count=told.parameter_count,
        context_length=told.context_length,
        size_bytes=told.size_bytes,
        tags=None if told.tags is None else list(told.tags),
        source=told.source,
        license=told.license,
        health_status=config.health_status.value,
        enabled=config.enabled,
        missing=config.missing,
        last_used=config.last_used,
        use_count=config.use_count,
        added_at=config.added_at,
    )
