"""Serves `aura.modules.v1.ModuleService`: the service registry seen from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from aura.kernel.contracts import service_names
from aura.kernel.errors import NotFound
from aura.kernel.health import SERVING, PlatformHealth
from aura.kernel.interceptors.call import Context
from aura.kernel.module import ModuleSpec
from aura.kernel.topology import Process, Topology
from generated.aura.modules.v1 import module_service_pb2 as pb
from generated.aura.modules.v1 import module_service_pb2_grpc as pb_grpc

SERVICE = pb.DESCRIPTOR.services_by_name["ModuleService"].full_name


class ModuleNotFound(NotFound):
    """No module has the name asked for."""

    reason = "MODULE_NOT_FOUND"

    def __init__(self) -> None:
        super().__init__("there is no such module; ListModules names them all")


class ModuleServicer(pb_grpc.ModuleServiceServicer):
    """Answers from the module configuration, the topology and the health of all processes."""

    def __init__(self, *, specs: Mapping[str, ModuleSpec], topology: Topology, health: PlatformHealth) -> None:
        self._specs = specs
        self._topology = topology
        self._health = health

    async def ListModules(self, request: pb.ListModulesRequest, context: Context) -> pb.ListModulesResponse:
        """Lists all modules, by name."""
        return pb.ListModulesResponse(modules=await asyncio.gather(*map(self._present, sorted(self._specs))))

    async def GetModule(self, request: pb.GetModuleRequest, context: Context) -> pb.Module:
        """Returns a module."""
        if request.module_id not in self._specs:
            raise ModuleNotFound
        return await self._present(request.module_id)

    async def GetTopology(self, request: pb.GetTopologyRequest, context: Context) -> pb.Topology:
        """Returns which process hosts which modules."""
        return pb.Topology(processes=map(_present_process, self._topology.processes.values()))

    async def _present(self, module_id: str) -> pb.Module:
        spec, process = self._specs[module_id], self._topology.host_of(module_id)
        services = service_names(module_id, spec)
        statuses = await asyncio.gather(*map(self._health.status_of, services))
        serving = all(status == SERVING for status in statuses)
        return pb.Module(
            module_id=module_id,
            display_name=spec.name,
            description=spec.description,
            architecture=pb.Architecture.Value(f"ARCHITECTURE_{spec.architecture.upper()}"),
            api_prefix=spec.api_prefix,
            dependencies=spec.dependencies,
            services=services,
            process=process.name,
            address=process.address,
            health=pb.MODULE_HEALTH_SERVING if serving else pb.MODULE_HEALTH_NOT_SERVING,
        )


def _present_process(process: Process) -> pb.Process:
    return pb.Process(name=process.name, address=process.address, modules=sorted(process.modules))
