"""Paths as OpenAPI has them: one for all templates that differ in the names of their variables only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aura.kernel.gateway.bindings import Binding
from aura.kernel.gateway.openapi.parameters import end_of, variable_parts
from aura.kernel.gateway.templates import PathTemplate, Variable

VERBS = ("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE")
"""The HTTP methods that OpenAPI can tell of."""


@dataclass(frozen=True, kw_only=True)
class NamedPath:
    """A path, and the names of what is variable in it, in their order."""

    text: str
    names: tuple[str, ...]


class Paths:
    """Gives paths names: the first template of a form decides, for OpenAPI takes paths of one form for the same."""

    def __init__(self) -> None:
        self._by_form: dict[str, NamedPath] = {}

    def of(self, template: PathTemplate) -> NamedPath:
        """Returns the path of a template."""
        form = _text(template, ["" for _ in variable_parts(template)])
        if form not in self._by_form:
            names = tuple(_names(template))
            self._by_form[form] = NamedPath(text=_text(template, names), names=names)
        return self._by_form[form]


def verbs_of(binding: Binding) -> Iterable[str]:
    """Returns the HTTP methods of a binding that OpenAPI can tell of, in lower case."""
    return [verb.lower() for verb in VERBS if binding.verb in {verb, "*"}]


def _names(template: PathTemplate) -> list[str]:
    names: list[str] = []
    for part in variable_parts(template):
        path = part.field_path if isinstance(part, Variable) else ("segment", f"{part}")
        short, long = _camel_case(path[-1:]), _camel_case(path)
        names.append(long if short in names or short.isdigit() else short)
    return names


def _camel_case(path: Iterable[str]) -> str:
    head, *rest = [word for name in path for word in name.split("_") if word]
    return head + "".join(word.capitalize() for word in rest)


def _text(template: PathTemplate, names: Iterable[str]) -> str:
    parts = dict(zip((_start(part) for part in variable_parts(template)), names, strict=True))
    variables = {variable.start: variable for variable in template.variables}
    text, at = "", 0
    while at < len(template.segments):
        text += f"/{{{parts[at]}}}" if at in parts else f"/{template.segments[at]}"
        at = end_of(template, variables[at]) if at in variables else at + 1
    return f"{text}:{template.verb}" if template.verb else text


def _start(part: Variable | int) -> int:
    return part.start if isinstance(part, Variable) else part
