"""Every module of the platform. Data only: importing this imports no module."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from aura.kernel.module import ModuleSpec

AURA_MODULES: Mapping[str, ModuleSpec] = MappingProxyType(
    {
        "users": ModuleSpec(
            name="User Management",
            description="Who the people of the platform are, how they prove it, and what they may be",
            api_prefix="users",
            api_module="aura.users.api.servicers",
            services_module="aura.users.services",
            architecture="layered",
            boundaries={
                "models": "aura.users.models",
                "repositories": "aura.users.repositories",
                "services": "aura.users.services",
                "presentation": "aura.users.api",
            },
            provides=("UserService", "AuthenticationService", "AccessService"),
            access_service="AccessService",
            publishes=(
                "user.registered",
                "user.deactivated",
                "user.reactivated",
                "user.roles_changed",
                "user.mail_queued",
            ),
            subscribes=("user.mail_queued",),
            entry="aura.users.module:UsersModule",
        ),
        "mentalhealth": ModuleSpec(
            name="Mental Health",
            description="Therapy sessions, from booking to their end, and the catalogue of disorders",
            api_prefix="mental-health",
            api_module="aura.mentalhealth.api.servicers",
            services_module="aura.mentalhealth.application.use_cases",
            architecture="clean",
            boundaries={
                "domain": "aura.mentalhealth.domain",
                "application": "aura.mentalhealth.application",
                "infrastructure": "aura.mentalhealth.infrastructure",
                "presentation": "aura.mentalhealth.api",
            },
            dependencies=("users",),
            provides=("TherapySessionService", "DisorderService", "EmergencyAccessService"),
            publishes=(
                "therapy_session.scheduled",
                "therapy_session.rescheduled",
                "therapy_session.started",
                "therapy_session.ended",
                "therapy_session.cancelled",
                "therapy_session.no_show",
                "emergency_access.begun",
            ),
            subscribes=("user.deactivated", "user.reactivated"),
            entry="aura.mentalhealth.module:MentalHealthModule",
        ),
    }
)
