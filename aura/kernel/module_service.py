"""Serves `aura.modules.v1.ModuleService`: the service registry seen from outside."""

from __future__ import annotations

from collections.abc import Mapping

from aura.kernel.errors import NotFound
from aura.kernel.interceptors.call import Context
from aura.kernel.module import ModuleSpec
from generated.aura.modules.v1 import module_service_pb2 as pb
from generated.aura.modules.v1 import module_service_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["ModuleService"].full_name


class ModuleNotFound(NotFound):
    """No module has the name asked for."""

    reason = "MODULE_NOT_FOUND"

    def __init__(self, module_id: str) -> None:
        super().__init__(f"there is no module {module_id!r}; ListModules names them all")


class ModuleServicer(pb_grpc.ModuleServiceServicer):
    """Answers from the module configuration."""

    def __init__(self, *, specs: Mapping[str, ModuleSpec], process: str, address: str) -> None:
        self._specs = specs
        self._process = process
        self._address = address

    async def ListModules(self, request: pb.ListModulesRequest, context: Context) -> pb.ListModulesResponse:
        """Lists all modules, by name."""
        return pb.ListModulesResponse(modules=[self._present(module_id) for module_id in sorted(self._specs)])

    async def GetModule(self, request: pb.GetModuleRequest, context: Context) -> pb.Module:
        """Returns a module."""
        if request.module_id not in self._specs:
            raise ModuleNotFound(request.module_id)
        return self._present(request.module_id)

    async def GetTopology(self, request: pb.GetTopologyRequest, context: Context) -> pb.Topology:
        """Returns which process hosts which modules."""
        process = pb.Process(name=self._process, address=self._address, modules=sorted(self._specs))
        return pb.Topology(processes=[process])

    def _present(self, module_id: str) -> pb.Module:
        spec = self._specs[module_id]
        return pb.Module(
            module_id=module_id,
            display_name=spec.name,
            description=spec.description,
            architecture=pb.Architecture.Value(f"ARCHITECTURE_{spec.architecture.upper()}"),
            api_prefix=spec.api_prefix,
            dependencies=spec.dependencies,
            services=[f"aura.{module_id}.v1.{service}" for service in spec.provides],
            process=self._process,
        )
