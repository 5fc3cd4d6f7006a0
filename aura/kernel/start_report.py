"""What an operator wants to know of a server that has just started."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from aura.kernel.module import ModuleSpec
from aura.kernel.topology import Process, Topology


def start_report(
    process: Process, topology: Topology, specs: Mapping[str, ModuleSpec], *, database: str, http: str
) -> str:
    """Returns the report, with a line for each thing."""
    lines = [f"Aura serves gRPC at {process.address}", "", *_lines(process, topology, specs, database, http)]
    return "\n" + "\n".join(f"  {line}".rstrip() for line in lines) + "\n\n"


def _lines(
    process: Process, topology: Topology, specs: Mapping[str, ModuleSpec], database: str, http: str
) -> Iterator[str]:
    if len(topology.processes) > 1:
        yield f"process   {process.name}, one of {len(topology.processes)}"
    yield "modules"
    width = max(map(len, specs))
    for name, spec in specs.items():
        if name in process.modules:
            yield f"  {name:<{width}}  {spec.architecture:<9}  {', '.join(spec.provides)}"
        else:
            host = topology.host_of(name)
            yield f"  {name:<{width}}  in process {host.name} at {host.address}"
    if process.modules:
        yield f"database  {database}"
    if http:
        yield f"REST      {http}/docs  (for a browser; {http}/openapi.json, /metrics, /healthz, /readyz)"
    if topology.tls is None:
        yield f"try       grpcurl -plaintext {process.address} list"
        yield f"          buf curl --http2-prior-knowledge --protocol grpc --list-methods http://{process.address}"
    else:
        own = " -cert CERTIFICATE -key KEY" if topology.tls.mutual else ""
        yield f"try       grpcurl -cacert {topology.tls.trusted}{own} {process.address} list"
    yield "stop      Ctrl-C, or SIGTERM; twice to stop at once"
