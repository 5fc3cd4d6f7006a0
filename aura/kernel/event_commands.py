"""The part of the command line that shows events and deals with dead letters."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any, TypeVar

import grpc
import typer
from google.protobuf.json_format import MessageToJson
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from aura.kernel.errors import AuraError, Unavailable
from aura.kernel.platform_client import what_went_wrong
from generated.aura.events.v1 import event_admin_service_pb2 as pb
from generated.aura.events.v1.event_admin_service_pb2_grpc import EventAdminServiceStub

Result = TypeVar("Result")
SECONDS = 10.0
Connections = Callable[[], AsyncGenerator[grpc.aio.Channel]]

Source = Annotated[str, typer.Option(help="Only events that this module publishes.")]
Subscriber = Annotated[str, typer.Option(help="Only what this module could not handle.")]
Subject = Annotated[str, typer.Option(help="Only events about this id.")]
EventId = Annotated[str, typer.Option("--event", help="Only this event.")]


def event_commands(connections: Connections) -> typer.Typer:
    """Returns `aura events`, for a platform whose processes `connections` lead to: any of them answers for all."""
    app = typer.Typer(help="Look at events, and deal with those that could not be handled.", no_args_is_help=True)

    @app.command("lag")
    def _lag() -> None:
        """Show how many events wait for each subscriber, how long, and how many are dead letters."""
        answer = _ask(connections, lambda stub: stub.GetEventLag(pb.GetEventLagRequest(), timeout=SECONDS))
        _print_table(
            ("from", "to", "waiting", "oldest, s", "dead"),
            [
                (each.source, each.subscriber, str(each.waiting), f"{each.lag_seconds:.1f}", str(each.dead))
                for each in answer.subscriptions
            ],
        )

    @app.command("dead")
    def _dead(*, source: Source = "", subscriber: Subscriber = "", subject: Subject = "", event: EventId = "") -> None:
        """List dead letters."""
        chosen = _filter(source, subscriber, subject, event)
        request = pb.ListDeadLettersRequest(filter=chosen)
        answer = _ask(connections, lambda stub: stub.ListDeadLetters(request, timeout=SECONDS))
        _print_table(
            ("event", "type", "about", "to", "attempts", "failure", "trace", "since", "holds back"),
            [
                (
                    each.event_id,
                    each.type,
                    each.subject,
                    each.subscriber,
                    str(each.attempts),
                    f"{each.code} {each.reason}".strip(),
                    each.trace_id,
                    each.dead_time.ToJsonString(),
                    str(each.held_back),
                )
                for each in answer.dead_letters
            ],
        )

    @app.command("show")
    def _show(event_id: Annotated[str, typer.Argument(help="The event's id.")]) -> None:
        """Show an event, and how far it has come."""
        request = pb.GetEventRequest(event_id=event_id)
        typer.echo(MessageToJson(_ask(connections, lambda stub: stub.GetEvent(request, timeout=SECONDS)), indent=2))

    @app.command("replay")
    def _replay(
        *, source: Source = "", subscriber: Subscriber = "", subject: Subject = "", event: EventId = ""
    ) -> None:
        """Deliver dead letters again; all of them, if nothing limits which."""
        request = pb.ReplayDeadLettersRequest(filter=_filter(source, subscriber, subject, event))
        answer = _ask(connections, lambda stub: stub.ReplayDeadLetters(request, timeout=SECONDS))
        typer.echo(f"{answer.count} delivered again")

    @app.command("discard")
    def _discard(
        *, source: Source = "", subscriber: Subscriber = "", subject: Subject = "", event: EventId = ""
    ) -> None:
        """Pass over dead letters: they count as handled, and what they held back goes on."""
        request = pb.DiscardDeadLettersRequest(filter=_filter(source, subscriber, subject, event))
        answer = _ask(connections, lambda stub: stub.DiscardDeadLetters(request, timeout=SECONDS))
        typer.echo(f"{answer.count} passed over")

    @app.command("tail")
    def _tail(
        *,
        source: Source = "",
        subject: Subject = "",
        event_type: Annotated[str, typer.Option("--type", help="Only events of this type.")] = "",
    ) -> None:
        """Follow events as they are published, until Ctrl-C."""
        request = pb.TailEventsRequest(type=event_type, subject=subject, source=source)

        async def follow(stub: Any) -> None:
            async for event in stub.TailEvents(request):
                typer.echo(
                    f"{event.time.ToJsonString()} {event.source} {event.type} {event.subject} event={event.event_id} "
                    f"trace={event.trace_parent.partition('-')[2].partition('-')[0]}"
                )

        with contextlib.suppress(KeyboardInterrupt):
            _ask(connections, follow)

    return app


def _filter(source: str, subscriber: str, subject: str, event: str) -> pb.DeadLetterFilter:
    return pb.DeadLetterFilter(source=source, subscriber=subscriber, subject=subject, event_id=event)


def _ask(connections: Connections, call: Callable[[Any], Awaitable[Result]]) -> Result:
    """Makes a call of the first process of the platform that is there."""

    async def ask() -> Result:
        failure = "the topology has no process"
        async with aclosing(connections()) as channels:
            async for channel in channels:
                try:
                    return await call(EventAdminServiceStub(channel))
                except Unavailable as error:
                    failure = what_went_wrong(error)
                except AuraError as error:
                    failure = what_went_wrong(error)
                    break
        typer.echo(f"aura: {failure}", err=True)
        raise typer.Exit(code=1)

    return asyncio.run(ask())


def _print_table(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    table = Table(*headings, box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table if rows else "none", width=None if console.is_terminal else 200)
