"""A configuration by which Envoy does what the gateway does, in front of the processes of a topology."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from google.protobuf.descriptor import ServiceDescriptor

from aura.kernel.access_table import KERNEL_SERVICES
from aura.kernel.contracts import describe, load_contract, service_names
from aura.kernel.envoy.clusters import Clusters
from aura.kernel.envoy.front import Front, require_encryption
from aura.kernel.envoy.listener import listener
from aura.kernel.envoy.routes import routes
from aura.kernel.envoy.wording import Json, typed
from aura.kernel.module import ModuleSpec
from aura.kernel.settings import Settings, SettingsError
from aura.kernel.topology import Topology


def envoy_config(settings: Settings, specs: Mapping[str, ModuleSpec], topology: Topology, front: Front) -> Json:
    """Returns the configuration for all services of the platform.

    Raises:
        SettingsError: What the settings say cannot be put into it.
        TopologyError: A certificate that it needs is not there.
    """
    homes: dict[str, str] = {}
    for module, spec in specs.items():
        load_contract(module)
        homes |= dict.fromkeys(service_names(module, spec), topology.host_of(module).name)
    services = [describe(name) for name in (*homes, *KERNEL_SERVICES)]
    return bootstrap(settings, services=services, homes=homes, topology=topology, front=front)


def write_config(config: Json, output: Path | None) -> None:
    """Writes a configuration as JSON, which Envoy reads from files named `….json`; to standard output by default.

    Raises:
        SettingsError: The file cannot be written.
    """
    text = json.dumps(config, indent=2) + "\n"
    if output is None:
        sys.stdout.write(text)
        return
    if output.suffix != ".json":
        raise SettingsError(f"--output {output}: Envoy reads JSON from files named ….json only; name it so")
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--output: cannot write {output}: {error.strerror}") from None


def bootstrap(
    settings: Settings,
    *,
    services: Sequence[ServiceDescriptor],
    homes: Mapping[str, str],
    topology: Topology,
    front: Front,
) -> Json:
    """Returns a whole configuration: one listener, and a cluster for each process.

    Args:
        settings: the limits.
        services: what is to be reached.
        homes: the process that hosts a service; one that is not in it, any process answers for.
        topology: the processes.
        front: where Envoy listens.

    Raises:
        SettingsError: What the settings say cannot be put into it.
        TopologyError: A certificate that it needs is not there.
    """
    require_encryption(front, settings)
    clusters = Clusters(settings, topology, front)
    return {
        "static_resources": {
            "listeners": [listener(settings, services, routes(services, homes, topology), front)],
            "clusters": clusters.all(),
        },
        "overload_manager": {"resource_monitors": [_connection_limit(settings.maximum_connections)]},
    }


def _connection_limit(connections: int) -> Json:
    return typed(
        "envoy.resource_monitors.global_downstream_max_connections",
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=connections,
    )
