"""Access tokens, as Django REST framework wants them looked at."""

from __future__ import annotations

from typing import Any

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import BasePermission

from benchmarks.peers import tokens


class BearerToken(BaseAuthentication):
    """Knows who calls by their access token."""

    def authenticate(self, request: Any) -> tuple[str, None]:
        """Return who calls."""
        try:
            return tokens.check(request.headers.get("authorization", "")), None
        except tokens.Refused as refused:
            raise AuthenticationFailed from refused


class IsKnown(BasePermission):
    """Lets in whoever has shown who they are."""

    def has_permission(self, request: Any, view: Any) -> bool:  # noqa: ARG002 the framework has it
        """Return whether they have."""
        return bool(request.user)
