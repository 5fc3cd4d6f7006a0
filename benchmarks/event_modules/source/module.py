"""Places orders, and says so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from dishka import Provider, Scope
from generated.aura.source.v1 import events_pb2
from generated.aura.source.v1 import order_service_pb2 as pb
from generated.aura.source.v1 import order_service_pb2_grpc as pb_grpc
from sqlalchemy import text

from aura.kernel.unit_of_work import UnitOfWork

PLACE = text("INSERT INTO source.orders (number, subject) VALUES (:number, :subject)")


class OrderServicer(pb_grpc.OrderServiceServicer):
    """Places orders one after the other, each in a transaction."""

    def __init__(self, *, unit_of_work: UnitOfWork) -> None:
        self._unit_of_work = unit_of_work

    async def PlaceOrders(self, request: pb.PlaceOrdersRequest, _: Any) -> pb.PlaceOrdersResponse:  # noqa: N802
        """Place them."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        for index, number in enumerate(range(request.first, request.end, request.step)):
            subject = str(number % request.subjects)
            async with self._unit_of_work as work:
                await work.execute(PLACE, {"number": number, "subject": subject})
                work.publish(events_pb2.OrderPlaced(subject=subject, number=number))
                await work.commit()
            if request.per_second:
                await asyncio.sleep(max(0, begin + (index + 1) / request.per_second - loop.time()))
        return pb.PlaceOrdersResponse()


class SourceModule:
    """What publishes."""

    def providers(self) -> Sequence[Provider]:
        """Return what makes the servicer."""
        provider = Provider(scope=Scope.REQUEST)
        provider.provide(OrderServicer)
        return (provider,)

    def register_services(self, registrar: Any) -> None:
        """Register the service."""
        registrar.register(OrderServicer)

    def subscribe_to_events(self, _: Any) -> None:
        """Subscribe to nothing."""
