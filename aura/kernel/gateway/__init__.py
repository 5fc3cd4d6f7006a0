"""REST and JSON for annotated gRPC services; depends on nothing else of the kernel."""

from aura.kernel.gateway.bodies import BodyLimits
from aura.kernel.gateway.gateway import Gateway

__all__ = ["BodyLimits", "Gateway"]
