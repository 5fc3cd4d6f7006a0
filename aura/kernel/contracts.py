"""The contracts of modules, as their generated code describes them, whether or not a module is hosted here."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from functools import cache

from google.protobuf import descriptor_pool
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from aura.kernel.module import ModuleSpec
from generated.aura.options.v1.access_pb2 import Access, access

MAY_BE_REPEATED = {MethodOptions.NO_SIDE_EFFECTS, MethodOptions.IDEMPOTENT}


def service_names(module: str, spec: ModuleSpec) -> list[str]:
    """Returns the full names of the services that a module provides, as `aura.users.v1.UserService`."""
    return [f"aura.{module}.v1.{service}" for service in spec.provides]


def module_of(path: str) -> str:
    """Returns the module that a method, as `/aura.users.v1.UserService/GetUser`, or its service belongs to."""
    package, _, rest = path.lstrip("/").partition(".")
    return rest.partition(".")[0] if package == "aura" else ""


def load_contract(module: str) -> None:
    """Imports a module's generated messages, and with them the descriptors of its services; not the module itself."""
    package = importlib.import_module(f"generated.aura.{module}.v1")
    for found in pkgutil.iter_modules(package.__path__):
        if found.name.endswith("_pb2"):
            importlib.import_module(f"{package.__name__}.{found.name}")


def describe(service: str) -> ServiceDescriptor:
    """Returns the descriptor of a service whose contract is loaded. Raises KeyError if it is not."""
    found: ServiceDescriptor = descriptor_pool.Default().FindServiceByName(service)
    return found


def repeatable_methods(service: str) -> Iterator[str]:
    """Yields the names of a service's methods that may be called again when it is not known whether they ran."""
    for method in describe(service).methods:
        if _may_be_repeated(method):
            yield method.name


@cache
def may_be_repeated(path: str) -> bool:
    """Returns whether the contract of a method allows to call it again when it is not known whether it ran."""
    method = _method_of(path)
    return method is not None and _may_be_repeated(method)


@cache
def access_of(path: str) -> Access:
    """Returns who may call a method, given by its path, as its contract says; nobody if there is no such method."""
    method = _method_of(path)
    return method.GetOptions().Extensions[access] if method is not None else Access()


def _method_of(path: str) -> MethodDescriptor | None:
    service, _, name = path.lstrip("/").rpartition("/")
    try:
        return describe(service).methods_by_name.get(name)
    except KeyError:
        return None


def _may_be_repeated(method: MethodDescriptor) -> bool:
    return method.GetOptions().idempotency_level in MAY_BE_REPEATED
