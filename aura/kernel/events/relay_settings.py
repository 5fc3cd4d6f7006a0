"""How events are delivered."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RelaySettings:
    """How a relay works; times are in seconds.

    Attributes:
        queues_at_a_time: How many queues are worked on at once.
        events_at_a_time: How many events of a queue are taken under one lease.
        lease: How long a queue is this relay's; if it dies, others take over after that.
        handler_timeout: How long a subscriber may take for an event.
        poll: How often to look for what nobody has told of: retries, leases that ran out, scheduled events.
        attempts: After how many an event becomes a dead letter.
        first_pause: How long to wait after a first failure; the pause doubles with each.
        longest_pause: How long it becomes at most.
        retention: How long events are kept after they were delivered.
    """

    queues_at_a_time: int = 4
    events_at_a_time: int = 32
    lease: float = 30.0
    handler_timeout: float = 10.0
    poll: float = 1.0
    attempts: int = 10
    first_pause: float = 0.2
    longest_pause: float = 60.0
    retention: float = 7 * 24 * 3600.0
