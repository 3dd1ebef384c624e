"""The built-in serializers under the kit that third parties use."""

from __future__ import annotations

import pytest

import modelshelf_serializers
from modelshelf.testing import SerializerCase, SerializerSuite


@pytest.fixture(params=[one.name for one in modelshelf_serializers.modelshelf_serializers()])
def serializer_case(request: pytest.FixtureRequest) -> SerializerCase:
    return SerializerCase(plugin=modelshelf_serializers, name=request.param)


class TestSerializer(SerializerSuite):
    pass
