"""Holds modules to the dependencies that they declare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aura.kernel.contracts import access_of, module_of
from aura.kernel.errors import PermissionDenied
from aura.kernel.interceptors.chain import Interceptor
from aura.kernel.security.actor import KERNEL
from generated.aura.options.v1 import access_pb2

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


class NotFromOutside(PermissionDenied):
    """A method that only the platform itself may call was called from outside."""

    reason = "CALLER_NOT_ADMITTED"

    def __init__(self) -> None:
        super().__init__("this method cannot be called from outside the platform")


class NotForKernel(PermissionDenied):
    """The platform itself called a method whose contract does not say so."""

    reason = "CALLER_NOT_ADMITTED"

    def __init__(self) -> None:
        super().__init__(f"this method's contract does not name {KERNEL} among its callers")


class DeclaredDependencies(Interceptor):
    """Refuses what a module calls without saying so in its specification, be it hosted here or elsewhere."""

    def __init__(self, specs: Mapping[str, ModuleSpec]) -> None:
        self._specs = specs

    async def on_call(self, call: Call) -> None:
        """Checks a call that a module makes, or should have made.

        Raises:
            UndeclaredDependency: The module does not declare that it makes it.
            NotFromOutside: The call is from outside, and the method only for the platform itself.
            NotForKernel: The platform itself calls a method that does not name it.
        """
        caller, path = call.actor.via_module, call.method.path
        if caller is None:
            if access_of(path).external == access_pb2.EXTERNAL_NONE:
                raise NotFromOutside
        elif caller == KERNEL:
            if KERNEL not in access_of(path).callers:
                raise NotForKernel
        elif path != DELIVER:
            require_declared(self._specs, module=caller, dependency=module_of(path))


def require_declared(specs: Mapping[str, ModuleSpec], *, module: str, dependency: str) -> None:
    """Sees that a module declares a dependency.

    Raises:
        UndeclaredDependency: It does not.
    """
    if module not in specs or dependency not in specs[module].dependencies:
        raise UndeclaredDependency(module=module, dependency=dependency)
