"""What every probe module does: it records that it ran, makes the calls of its plan, and ends as the plan says."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
from collections.abc import AsyncIterator, Sequence
from typing import Any, ClassVar

import grpc
from dishka import Provider, Scope
from generated.aura.probe.v1 import plan_pb2 as pb
from sqlalchemy import text

from aura.kernel.database import Database, connection_held
from aura.kernel.errors import AuraError, FieldViolation, InvalidRequest, NotFound, Unavailable
from aura.kernel.events.inbox import Delivery
from aura.kernel.interceptors.call import current_call
from aura.kernel.registry import ModuleServices
from aura.kernel.security.actor import Actor
from aura.kernel.unit_of_work import UnitOfWork
from tests.partitions.probe.specs import PUBLISHER, SUBSCRIBERS

RECEIVED_METADATA = "probe"


class MissingThing(NotFound):
    """The callee's own class, which its callers never see."""

    reason = "MISSING_THING"


class Probe:
    """Carries a plan out."""

    def __init__(self, name: str, services: ModuleServices, unit_of_work: UnitOfWork) -> None:
        self._name = name
        self._services = services
        self._unit_of_work = unit_of_work
        self._metadata_is_set = False

    async def carry_out(self, plan: pb.Plan, context: Any) -> pb.Report:
        report = self._report()
        if plan.label:
            await self._record(plan)
        if plan.publish:
            await self._publish(plan)
        if plan.set_metadata and not self._metadata_is_set:
            self._metadata_is_set = True
            await context.send_initial_metadata((("probe-initial", self._name), ("probe-bin", b"\0\xff")))
            context.set_trailing_metadata((*context.trailing_metadata(), ("probe-trailing", self._name)))
        if plan.connection_held:
            connection_held.set(True)
        if plan.at_once:
            await asyncio.gather(*(self._call(step, report) for step in plan.steps))
            report.reports.sort(key=lambda each: each.module)
        else:
            for step in plan.steps:
                await self._call(step, report)
        report.payload = bytes(plan.payload_bytes)
        await asyncio.sleep(plan.pause_ms / 1000)
        return report

    async def finish(self, plan: pb.Plan, context: Any) -> None:  # noqa: C901 one line for each end
        match plan.end:
            case pb.END_NOT_FOUND:
                raise MissingThing("the thing is not there ☺", metadata={"thing": "one", "empty": ""})
            case pb.END_INVALID:
                raise InvalidRequest(FieldViolation(field="plan.label", description="is wrong", rule="label.right"))
            case pb.END_UNAVAILABLE:
                raise Unavailable("not now", reason="NOT_NOW", retry_after=None)
            case pb.END_BUG:
                raise ValueError("a secret of the handler")
            case pb.END_ABORT:
                await context.abort(grpc.StatusCode.DATA_LOSS, "aborted by hand", (("probe-abort", "yes"),))
            case pb.END_ABORT_UNKNOWN:
                await context.abort(grpc.StatusCode.UNKNOWN, "by hand")
            case pb.END_ABORT_UNAVAILABLE:
                await context.abort(grpc.StatusCode.UNAVAILABLE, "by hand")
            case pb.END_CODE:
                context.set_code(grpc.StatusCode.OUT_OF_RANGE)
                context.set_details("set by hand")
            case pb.END_HANG:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    await asyncio.shield(self._record(pb.Plan(label=f"{plan.label} was cut off")))
                    raise

    def _report(self) -> pb.Report:
        call = current_call.get()
        assert call is not None
        assert call.trace is not None
        return pb.Report(
            module=self._name,
            caller_module=call.actor.via_module or "",
            user_id=call.actor.user_id,
            request_id=call.request_id,
            trace_id=call.trace.trace_id,
            has_deadline=call.context.time_remaining() is not None,
            metadata=[f"{key}={value!r}" for key, value in call.metadata.items() if key.startswith(RECEIVED_METADATA)],
        )

    async def _record(self, plan: pb.Plan) -> None:
        call = current_call.get()
        assert call is not None
        row = {"label": plan.label, "caller": call.actor.via_module, "user_id": call.actor.user_id}
        async with self._unit_of_work as work:
            statement = text(f"INSERT INTO {self._name}.runs VALUES (:label, :caller, :user_id)")
            await work.execute(statement, row)
            if plan.end_rolls_back:
                raise MissingThing("rolled back")
            await work.commit()

    async def _publish(self, plan: pb.Plan) -> None:
        events = importlib.import_module(f"generated.aura.{self._name}.v1.events_pb2")
        async with self._unit_of_work as work:
            for each in plan.publish:
                work.publish(events.ProbeHappened(subject=each.subject, number=each.number, mood=each.mood))
            await work.commit()

    async def _call(self, step: pb.Step, report: pb.Report) -> None:
        reports: list[pb.Report] = []
        try:
            await self._make(step, reports)
        except (AuraError, RuntimeError, ValueError) as error:
            if not step.tolerate:
                raise
            report.failures.append(_failure(error, len(reports)))
        report.reports.extend(reports)

    async def _make(self, step: pb.Step, reports: list[pb.Report]) -> None:
        stub_module = importlib.import_module(f"generated.aura.{step.module}.v1.probe_service_pb2_grpc")
        stub = self._services.stub(stub_module.ProbeServiceStub)
        options: dict[str, Any] = {"timeout": step.timeout_ms / 1000} if step.timeout_ms else {}
        if step.metadata_key:
            options["metadata"] = ((step.metadata_key, b"b" if step.metadata_key.endswith("-bin") else "t"),)
        requests = [step.plan] * max(1, step.requests)
        match step.kind:
            case pb.KIND_RESPONSE_STREAM:
                await _read(stub.Stream(step.plan, **options), step, reports)
            case pb.KIND_REQUEST_STREAM:
                reports.append(await stub.Collect(_each(requests), **options))
            case pb.KIND_BOTH_STREAMS:
                await _read(stub.Talk(_each(requests), **options), step, reports)
            case _:
                reports.append(await stub.Run(step.plan, **options))


AFTER_THE_ANSWER = 0.2  # to who published, if that is in this process


class Effects:
    """What a subscriber makes of an event: a row, and whatever the event's mood is."""

    failed: ClassVar[set[tuple[str, str]]] = set()

    def __init__(
        self, name: str, unit_of_work: UnitOfWork, actor: Actor, delivery: Delivery, database: Database
    ) -> None:
        self._name = name
        self._database = database
        self._unit_of_work = unit_of_work
        self._actor = actor
        self._delivery = delivery

    async def follow(self, event: Any) -> None:
        assert self._delivery.event is not None
        once = (self._name, self._delivery.event.event_id)
        match event.mood:
            case pb.MOOD_RAISES:
                raise ValueError("a secret of the subscriber")
            case pb.MOOD_RAISES_ONCE if once not in self.failed:
                self.failed.add(once)
                raise ValueError("a secret of the subscriber")
            case pb.MOOD_COMMITS_NOTHING:
                return
            case pb.MOOD_HANGS:
                await asyncio.sleep(60)
            case pb.MOOD_IS_KILLED if await self._is_first_time(self._delivery.event.event_id):
                asyncio.get_running_loop().call_later(AFTER_THE_ANSWER, os.kill, os.getpid(), signal.SIGKILL)
                await asyncio.sleep(60)
        async with self._unit_of_work as work:
            statement = text(f"INSERT INTO {self._name}.effects VALUES (:subject, :number, :user_id)")
            row = {"subject": event.subject, "number": event.number, "user_id": self._actor.user_id}
            await work.execute(statement, row)
            await work.commit()
        if event.mood == pb.MOOD_COMMITS_AND_RAISES:
            raise ValueError("too late to matter")

    async def _is_first_time(self, event_id: str) -> bool:
        """Whether the event has not been seen here before; remembered beyond the end of the process."""
        label = {"label": event_id}
        async with self._database.engine.begin() as connection:
            seen = await connection.execute(text(f"SELECT 1 FROM {self._name}.runs WHERE label = :label"), label)
            if seen.one_or_none() is not None:
                return False
            await connection.execute(text(f"INSERT INTO {self._name}.runs (label) VALUES (:label)"), label)
        return True


def probe_module(name: str) -> type[object]:  # noqa: C901 classes, one inside the other
    """Returns the class of a probe module."""
    stubs = importlib.import_module(f"generated.aura.{name}.v1.probe_service_pb2_grpc")

    class ProbeServicer(stubs.ProbeServiceServicer):
        def __init__(self, *, services: ModuleServices, unit_of_work: UnitOfWork) -> None:
            self._probe = Probe(name, services, unit_of_work)

        async def Run(self, request: pb.Plan, context: Any) -> pb.Report:  # noqa: N802
            report = await self._probe.carry_out(request, context)
            await self._probe.finish(request, context)
            return report

        async def Stream(self, request: pb.Plan, context: Any) -> AsyncIterator[pb.Report]:  # noqa: N802
            report = await self._probe.carry_out(request, context)
            for number in range(request.responses):
                report.number = number
                yield report
            await self._probe.finish(request, context)

        async def Collect(self, request: Any, context: Any) -> pb.Report:  # noqa: N802
            plans = [plan async for plan in request]
            report = await self._probe.carry_out(plans[0], context)
            report.requests = len(plans)
            await self._probe.finish(plans[0], context)
            return report

        async def Talk(self, request: Any, context: Any) -> AsyncIterator[pb.Report]:  # noqa: N802
            number = 0
            async for plan in request:
                report = await self._probe.carry_out(plan, context)
                report.number = number = number + 1
                yield report
                await self._probe.finish(plan, context)

    class HappenedSubscriber:
        def __init__(self, *, unit_of_work: UnitOfWork, actor: Actor, delivery: Delivery, database: Database) -> None:
            self._effects = Effects(name, unit_of_work, actor, delivery, database)

        async def handle(self, event: Any) -> None:
            await self._effects.follow(event)

    class ProbeModule:
        def providers(self) -> Sequence[Provider]:
            provider = Provider(scope=Scope.REQUEST)
            provider.provide(ProbeServicer)
            provider.provide(HappenedSubscriber)
            return (provider,)

        def register_services(self, registrar: Any) -> None:
            registrar.register(ProbeServicer)

        def subscribe_to_events(self, event_bus: Any) -> None:
            if name in SUBSCRIBERS:
                events = importlib.import_module(f"generated.aura.{PUBLISHER}.v1.events_pb2")
                event_bus.subscribe(events.ProbeHappened, HappenedSubscriber)

    return ProbeModule


async def _read(call: Any, step: pb.Step, reports: list[pb.Report]) -> None:
    async for response in call:
        reports.append(response)
        if step.stop_after and len(reports) == step.stop_after:
            call.cancel()
            return


async def _each(requests: Sequence[Any]) -> AsyncIterator[Any]:
    for request in requests:
        yield request


def _failure(error: Exception, received: int) -> pb.Failure:
    if not isinstance(error, AuraError):
        return pb.Failure(error_class=type(error).__name__, message=str(error), received=received)
    return pb.Failure(
        error_class=type(error).__name__,
        reason=error.reason,
        message=error.message,
        metadata=error.metadata,
        fields=[f"{each.field} {each.description} ({each.rule})" for each in error.violations],
        retry_after=error.retry_after.total_seconds() if error.retry_after else 0,
        received=received,
    )
