"""Describes the REST interface of annotated gRPC services as OpenAPI 3.1, by their descriptors alone."""

from aura.kernel.gateway.openapi.document import openapi_document

__all__ = ["openapi_document"]
