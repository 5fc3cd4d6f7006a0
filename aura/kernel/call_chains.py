"""What every call goes through, put together from the settings: where it is served, and where it is passed on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aura.kernel import health
from aura.kernel.audit import AuditTrail
from aura.kernel.interceptors.access import AccessPolicy
from aura.kernel.interceptors.access_log import AccessLog
from aura.kernel.interceptors.chain import Interceptor, InterceptorChain
from aura.kernel.interceptors.denials import Denials
from aura.kernel.interceptors.dependencies import DeclaredDependencies
from aura.kernel.interceptors.error_mapping import ErrorMapping
from aura.kernel.interceptors.identity import CallerIdentity
from aura.kernel.interceptors.load_shedding import LoadShedding
from aura.kernel.interceptors.phi_audit import PhiAudit
from aura.kernel.interceptors.rate_limit import Buckets, RateLimit
from aura.kernel.interceptors.request_id import RequestIds
from aura.kernel.interceptors.trace_context import Tracing
from aura.kernel.interceptors.validation import Validation
from aura.kernel.module import ModuleSpec
from aura.kernel.reflection import SERVICES as REFLECTION_SERVICES
from aura.kernel.security.callers import Callers
from aura.kernel.security.internal_identity import InternalIdentities
from aura.kernel.security.sources import Sources
from aura.kernel.settings import Environment, Settings


@dataclass(frozen=True, kw_only=True)
class CallChains:
    """The interceptors of calls.

    Attributes:
        serving: Around what is hosted here.
        passing_on: Around what is hosted elsewhere, where the rest of them is.
    """

    serving: InterceptorChain
    passing_on: InterceptorChain


def call_chains(
    *,
    settings: Settings,
    specs: Mapping[str, ModuleSpec],
    process: str,
    identities: InternalIdentities,
    callers: Callers | None,
    admission: LoadShedding,
    trails: Mapping[str, AuditTrail],
    elsewhere: Iterable[str],
) -> CallChains:
    """Returns them.

    Args:
        settings: what the operator chose.
        specs: all modules of the platform.
        process: the name of this process.
        identities: opens what other processes say of callers.
        callers: knows callers by their access tokens.
        admission: bounds the calls at a time.
        trails: where refused calls are noted, by module.
        elsewhere: the services that are passed on.
    """
    everywhere: list[Interceptor] = [
        RequestIds(),
        Tracing(),
        AccessLog(),
        ErrorMapping(),
        CallerIdentity(
            identities=identities,
            process=process,
            callers=callers,
            sources=Sources(settings.proxies),
        ),
        RateLimit(peers=Buckets(settings.rate_limit_per_peer), accounts=Buckets(settings.rate_limit_per_account)),
        admission,
    ]
    # In development nobody need be logged in to see the contracts.
    open_services = REFLECTION_SERVICES if settings.environment is Environment.DEVELOPMENT else ()
    serving = [
        *everywhere,
        Denials(trails),
        DeclaredDependencies(specs),
        AccessPolicy(callers),
        Validation(),
        PhiAudit(),
    ]
    return CallChains(
        serving=InterceptorChain(serving, except_services=[health.SERVICE, *open_services, *elsewhere]),
        passing_on=InterceptorChain(everywhere),
    )
