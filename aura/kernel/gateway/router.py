"""Finds what a request is for, by its HTTP method and path."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from aura.kernel.gateway.bindings import ANY_VERB, Binding
from aura.kernel.gateway.refusals import MethodNotAllowed, RouteNotFound
from aura.kernel.gateway.templates import ANY_SEGMENT, ANY_SEGMENTS

GET, HEAD, OPTIONS = "GET", "HEAD", "OPTIONS"

Route = TypeVar("Route")


class AmbiguousRoutes(ValueError):
    """Two methods want the same requests."""

    def __init__(self, one: Binding, other: Binding) -> None:
        super().__init__(
            f"{one.verb} {one.template.text} of {one.method.full_name} and {other.verb} {other.template.text} of "
            f"{other.method.full_name} are for the same requests; change the path of one of them"
        )


@dataclass(kw_only=True)
class _Node(Generic[Route]):
    """A place in the tree of paths: what follows by segment, and what ends here by custom verb and HTTP method."""

    children: dict[str, _Node[Route]] = field(default_factory=dict)
    ends: dict[str, dict[str, tuple[Binding, Route]]] = field(default_factory=dict)


class Router(Generic[Route]):
    """Knows all paths. A literal segment comes before `*`, and that before `**`, whatever the order of the contracts.

    Args:
        routes: for each binding what is found by it.

    Raises:
        AmbiguousRoutes: Two bindings have the same HTTP method and the same path but for names of variables.
    """

    def __init__(self, routes: Iterable[tuple[Binding, Route]]) -> None:
        self._root = _Node[Route]()
        self._verbs: set[str] = set()
        for binding, route in routes:
            self._add(binding, route)

    def find(self, verb: str, path: str) -> tuple[Route, Sequence[str]]:
        """Returns what a request is for, and the segments of its path.

        Slashes at the end count for nothing; what is behind a last colon is a custom verb if any path has this verb.

        Raises:
            RouteNotFound: Nothing has this path.
            MethodNotAllowed: Something has it, but for other HTTP methods.
        """
        segments, custom = self._split(path)
        found = _walk(self._root, segments, 0, custom, verb)
        if found is None and verb == HEAD:
            found = _walk(self._root, segments, 0, custom, GET)
        if found is None:
            allowed = self.allowed(path)
            raise MethodNotAllowed(verb, ", ".join(allowed)) if allowed else RouteNotFound
        return found, segments

    def allowed(self, path: str) -> Sequence[str]:
        """Returns the HTTP methods that a path takes, sorted; none if there is nothing at it."""
        segments, custom = self._split(path)
        verbs = set(_verbs_at(self._root, segments, 0, custom))
        if not verbs:
            return ()
        return sorted({*verbs, OPTIONS, *([HEAD] if GET in verbs else [])} - {ANY_VERB})

    def _add(self, binding: Binding, route: Route) -> None:
        node = self._root
        for segment in binding.template.segments:
            node = node.children.setdefault(segment, _Node())
        by_verb = node.ends.setdefault(binding.template.verb, {})
        if binding.verb in by_verb:
            raise AmbiguousRoutes(by_verb[binding.verb][0], binding)
        by_verb[binding.verb] = (binding, route)
        self._verbs.add(binding.template.verb)

    def _split(self, path: str) -> tuple[list[str], str]:
        verb = ""
        if ":" in path:
            before, _, behind = path.rpartition(":")
            if behind and behind in self._verbs:
                path, verb = before, behind
        segments = path[1:].split("/")
        while segments and not segments[-1]:
            segments.pop()
        return segments, verb


def _walk(node: _Node[Route], segments: Sequence[str], at: int, custom: str, verb: str) -> Route | None:
    if at == len(segments):
        found = _end(node, custom, verb)
        if found is not None:
            return found
    else:
        for key in (segments[at], ANY_SEGMENT):
            child = node.children.get(key)
            # a segment that is itself a wildcard's sign is no literal, so it is found as any other
            if child is not None and (found := _walk(child, segments, at + 1, custom, verb)) is not None:
                return found
    rest = node.children.get(ANY_SEGMENTS)
    return _end(rest, custom, verb) if rest is not None else None


def _end(node: _Node[Route], custom: str, verb: str) -> Route | None:
    by_verb = node.ends.get(custom)
    if by_verb is None:
        return None
    found = by_verb.get(verb) or by_verb.get(ANY_VERB)
    return found[1] if found else None


def _verbs_at(node: _Node[Route], segments: Sequence[str], at: int, custom: str) -> Iterator[str]:
    if at == len(segments):
        yield from node.ends.get(custom, ())
    else:
        for key in {segments[at], ANY_SEGMENT} & node.children.keys():
            yield from _verbs_at(node.children[key], segments, at + 1, custom)
    if ANY_SEGMENTS in node.children:
        yield from node.children[ANY_SEGMENTS].ends.get(custom, ())
