"""Who may call the services whose contracts are not ours, and so cannot say it."""

from __future__ import annotations

from collections.abc import Mapping

from aura.kernel.contracts import access_of
from aura.kernel.reflection import METHOD as REFLECTION_METHOD
from aura.kernel.reflection import SERVICES as REFLECTION_SERVICES
from generated.aura.options.v1.access_pb2 import (
    EXTERNAL_PUBLIC,
    EXTERNAL_RESTRICTED,
    EXTERNAL_UNSPECIFIED,
    Access,
    Role,
)

HEALTH_METHODS = tuple(f"/grpc.health.v1.Health/{method}" for method in ("Check", "List", "Watch"))
STANDARD_RULES: Mapping[str, Access] = {
    **dict.fromkeys(HEALTH_METHODS, Access(external=EXTERNAL_PUBLIC)),
    **{
        f"/{service}/{REFLECTION_METHOD}": Access(external=EXTERNAL_RESTRICTED, roles=[Role.ROLE_OPERATOR])
        for service in REFLECTION_SERVICES
    },
}
"""Reflection is open to everyone in development, where no rule is asked for."""


def rule_of(path: str) -> Access:
    """Returns who may call a method, given by its path; of a method that no rule is known of, nobody."""
    rule = access_of(path)
    return rule if rule.external != EXTERNAL_UNSPECIFIED else STANDARD_RULES.get(path, rule)
