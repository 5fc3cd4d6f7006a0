"""How Envoy wants things written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def address(host: str, port: int) -> Json:
    """Returns a place in the network."""
    return {"socket_address": {"address": host, "port_value": port}}


def common_tls(shown: Iterable[tuple[Path, Path]], protocols: Sequence[str]) -> Json:
    """Returns what both ends of encryption have: certificates with their keys, and what is spoken inside."""
    return {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "alpn_protocols": protocols,
        "tls_certificates": [
            {
                "certificate_chain": {"filename": str(certificate.resolve())},
                "private_key": {"filename": str(key.resolve())},
            }
            for certificate, key in shown
        ],
    }


def tls_socket(context: str, common: Json, **more: object) -> Json:
    """Returns one end of an encrypted connection; `context` says which."""
    return typed(
        "envoy.transport_sockets.tls",
        f"extensions.transport_sockets.tls.v3.{context}",
        common_tls_context=common,
        **more,
    )


def typed(name: str, kind: str, **values: object) -> Json:
    """Returns an extension of Envoy by its name, with the values of its configuration's type."""
    return {"name": name, "typed_config": {"@type": f"type.googleapis.com/envoy.{kind}", **values}}


def duration(seconds: float) -> str:
    """Returns a duration."""
    return f"{seconds:g}s"
