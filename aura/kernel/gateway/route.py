"""What the requests of a binding are read, called and answered by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc.aio
from google.protobuf.message_factory import GetMessageClass

from aura.kernel.gateway.bindings import Binding
from aura.kernel.gateway.preconditions import Preconditions
from aura.kernel.gateway.requests import RequestReader
from aura.kernel.gateway.responses import ResponseWriter

ChannelFor = Callable[[str], grpc.aio.Channel]


class Route:
    """All of that for one binding.

    Args:
        binding: the binding.
        channel_for: gives the channel to a service, when it is first called.
    """

    def __init__(self, binding: Binding, channel_for: ChannelFor) -> None:
        self.reader = RequestReader(binding)
        self.writer = ResponseWriter(binding.method.output_type, binding.response_body)
        self.preconditions = Preconditions(binding)
        self.streams_requests = binding.method.client_streaming
        self.streams_responses = binding.method.server_streaming
        self._binding = binding
        self._channel_for = channel_for
        self._method: Any = None

    @property
    def method(self) -> Any:
        """What makes the call."""
        if self._method is None:
            channel = self._channel_for(self._binding.method.containing_service.full_name)
            kind = f"{_word(many=self.streams_requests)}_{_word(many=self.streams_responses)}"
            self._method = getattr(channel, kind)(
                self._binding.path,
                request_serializer=GetMessageClass(self._binding.method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(self._binding.method.output_type).FromString,
            )
        return self._method


def _word(*, many: bool) -> str:
    return "stream" if many else "unary"
