"""The contracts, as far as Envoy can follow them."""

from __future__ import annotations

from collections.abc import Iterable

from google.api import annotations_pb2
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto
from google.rpc import error_details_pb2


def file_set(services: Iterable[ServiceDescriptor]) -> FileDescriptorSet:
    """Returns the contracts of services with all that they import, and what errors are described with.

    Envoy does not start with a `response_body` that is no `google.api.HttpBody`: bindings that have one are left out.
    """
    files: dict[str, FileDescriptor] = {}
    for file in (*(service.file for service in services), error_details_pb2.DESCRIPTOR):
        _collect(file, files)
    made = FileDescriptorSet()
    for file in files.values():
        file.CopyToProto(made.file.add())
    for described in made.file:
        for service in described.service:
            for method in service.method:
                _keep_followable(method)
    return made


def _keep_followable(method: MethodDescriptorProto) -> None:
    if not method.options.HasExtension(annotations_pb2.http):
        return
    first = method.options.Extensions[annotations_pb2.http]
    rules = [HttpRule.FromString(rule.SerializeToString()) for rule in (first, *first.additional_bindings)]
    kept = [rule for rule in rules if not rule.response_body]
    if len(kept) == len(rules):
        return
    method.options.ClearExtension(annotations_pb2.http)
    if kept:
        del kept[0].additional_bindings[:]
        kept[0].additional_bindings.extend(kept[1:])
        method.options.Extensions[annotations_pb2.http].CopyFrom(kept[0])


def _collect(file: FileDescriptor, files: dict[str, FileDescriptor]) -> None:
    if file.name not in files:
        for dependency in file.dependencies:
            _collect(dependency, files)
        files[file.name] = file
