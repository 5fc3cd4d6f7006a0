"""Reads the comments of contracts, which generated Python does not have."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

WANTED = re.compile(r"(aura|google\.rpc|google\.type)(\.|$)")
"""The packages that the platform's interface is made of."""
_FOR_LINTERS = re.compile(r"\(--.*?--\)|^ *buf:lint:.*$", re.DOTALL | re.MULTILINE)


def comments_in(files: FileDescriptorSet) -> dict[str, str]:
    """Returns what files say of their services, methods, messages, fields, enums and values, by full names.

    Args:
        files: the files, with source info.
    """
    comments: dict[str, str] = {}
    for file in files.file:
        if not WANTED.match(file.package):
            continue
        for location in file.source_code_info.location:
            text = _cleaned(location.leading_comments or location.trailing_comments)
            name = _name_at(file, location.path) if text else ""
            if name:
                comments[name] = text
    return comments


def write_comments(target: Path, comments: Mapping[str, str]) -> None:
    """Writes comments to a file, always the same for the same comments."""
    target.write_text(json.dumps(comments, ensure_ascii=False, indent=0, sort_keys=True) + "\n", encoding="utf-8")


def _name_at(file: FileDescriptorProto, path: Sequence[int]) -> str:
    """Returns the full name of what is at a path of descriptor.proto; empty if it has none, as an option."""
    names = [file.package]
    inside: Any = file
    if not path or len(path) % 2:
        return ""
    for number, index in zip(path[::2], path[1::2], strict=True):
        field = inside.DESCRIPTOR.fields_by_number[number]
        inside = getattr(inside, field.name)[index] if field.message_type is not None else None
        if not hasattr(inside, "name"):
            return ""
        names.append(inside.name)
    return ".".join(names)


def _cleaned(comment: str) -> str:
    lines = [line.removeprefix(" ").rstrip() for line in _FOR_LINTERS.sub("", comment).splitlines()]
    return "\n".join(lines).strip()
