"""Holds modules to the dependencies that they declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aura.kernel.contracts import module_of
from aura.kernel.errors import PermissionDenied
from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.security.actor import KERNEL

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aura.kernel.interceptors.call import Call
    from aura.kernel.module import ModuleSpec


DELIVER = "/aura.events.v1.SubscriberService/Deliver"
"""A subscription is no dependency: the servicer checks by itself that an event comes from its publisher."""


class UndeclaredDependency(PermissionDenied):
    """A module called, or asked for a service of, a module that it does not declare as a dependency."""

    reason = "UNDECLARED_DEPENDENCY"

    def __init__(self, *, module: str, dependency: str) -> None:
        super().__init__(
            f"module {module} may not call {dependency}: add it to the dependencies of {module} in aura/modules.py",
            metadata={"module": module, "dependency": dependency},
        )


class DeclaredDependencies(Interceptor):
    """Refuses what a module calls without saying so in its specification, be it hosted here or elsewhere."""

    def __init__(self, specs: Mapping[str, ModuleSpec]) -> None:
        self._specs = specs

    async def on_call(self, call: Call) -> None:
        """Checks a call that a module makes.

        Raises:
            UndeclaredDependency: The module does not declare that it makes it.
        """
        caller, path = call.actor.via_module, call.method.path
        if caller is not None and caller != KERNEL and path != DELIVER:
            require_declared(self._specs, module=caller, dependency=module_of(path))


def require_declared(specs: Mapping[str, ModuleSpec], *, module: str, dependency: str) -> None:
    """Sees that a module declares a dependency.

    Raises:
        UndeclaredDependency: It does not.
    """
    if module not in specs or dependency not in specs[module].dependencies:
        raise UndeclaredDependency(module=module, dependency=dependency)
