"""Etags: the version of a resource, opaque to clients (AIP-154)."""

from __future__ import annotations

from aura.kernel.errors import Aborted


class EtagMismatch(Aborted):
    """The resource has changed since the version that the caller knows."""

    reason = "ETAG_MISMATCH"

    def __init__(self) -> None:
        super().__init__("the resource has changed since the version that etag names; read it again")


def etag_of(version: int) -> str:
    """Returns the etag of a version."""
    return f"{version}"


def require_etag(etag: str, *, version: int) -> None:
    """Sees that the resource is at the version that the caller knows; an empty etag means any.

    Raises:
        EtagMismatch: It is not.
    """
    if etag and etag != etag_of(version):
        raise EtagMismatch
