"""Path templates, as `google/api/http.proto` defines them: `/v1/{name=shelves/*}/books:archive`."""

from __future__ import annotations

import re
from dataclasses import dataclass

ANY_SEGMENT, ANY_SEGMENTS = "*", "**"

_LITERAL = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@]|%[0-9A-Fa-f]{2})+")
_VERB = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()+,;=@:]|%[0-9A-Fa-f]{2})+")
_FIELD_PATH = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*")


class TemplateError(ValueError):
    """A path template is not of the form that `google/api/http.proto` asks for."""

    def __init__(self, template: str, problem: str) -> None:
        super().__init__(f"path template {template!r} {problem}")


@dataclass(frozen=True, kw_only=True)
class Variable:
    """A part of the path that gives a request field its value.

    Attributes:
        field_path: The names of the fields that lead to it, from the request message on.
        start: The first of its segments.
        end: The segment after its last; None if it reaches to the end of the path.
        many: Whether it may be of several segments, in which "%2F" is left as it is.
    """

    field_path: tuple[str, ...]
    start: int
    end: int | None
    many: bool


@dataclass(frozen=True, kw_only=True)
class PathTemplate:
    """A path template.

    Attributes:
        text: The template as the contract has it.
        segments: Literals as they are in the path (percent-encoded), `*` and `**`.
        verb: The custom verb behind the last colon; empty if there is none.
        variables: The variables, in the order of their segments.
    """

    text: str
    segments: tuple[str, ...]
    verb: str
    variables: tuple[Variable, ...]

    @classmethod
    def parse(cls, text: str) -> PathTemplate:
        """Returns the template that a text is.

        Raises:
            TemplateError: It is none.
        """
        return _Parser(text).template()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._segments: list[str] = []
        self._variables: list[Variable] = []

    def template(self) -> PathTemplate:
        self._expect("/")
        self._read_segments(in_variable=False)
        verb = ""
        if self._takes(":"):
            verb = self._read(_VERB, "needs a verb behind its colon")
        if self._at != len(self._text):
            raise self._error(f"goes wrong at {self._text[self._at :]!r}")
        if ANY_SEGMENTS in self._segments[:-1]:
            raise self._error("may have ** at its end only")
        return PathTemplate(
            text=self._text, segments=tuple(self._segments), verb=verb, variables=tuple(self._variables)
        )

    def _read_segments(self, *, in_variable: bool) -> None:
        self._read_segment(in_variable=in_variable)
        while self._takes("/"):
            self._read_segment(in_variable=in_variable)

    def _read_segment(self, *, in_variable: bool) -> None:
        if self._takes("**"):
            self._segments.append(ANY_SEGMENTS)
        elif self._takes("*"):
            self._segments.append(ANY_SEGMENT)
        elif self._takes("{"):
            if in_variable:
                raise self._error("has a variable within a variable")
            self._read_variable()
        else:
            self._segments.append(self._read(_LITERAL, "has an empty segment or a character that is not allowed"))

    def _read_variable(self) -> None:
        start = len(self._segments)
        field_path = self._read(_FIELD_PATH, "needs the name of a field behind {")
        if self._takes("="):
            self._read_segments(in_variable=True)
        else:
            self._segments.append(ANY_SEGMENT)
        self._expect("}")
        own = self._segments[start:]
        if field_path in (".".join(variable.field_path) for variable in self._variables):
            raise self._error(f"has the variable {field_path} twice")
        self._variables.append(
            Variable(
                field_path=tuple(field_path.split(".")),
                start=start,
                end=None if own[-1] == ANY_SEGMENTS else start + len(own),
                many=len(own) > 1 or own == [ANY_SEGMENTS],
            )
        )

    def _takes(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            raise self._error(f"needs {text!r} at position {self._at}")

    def _read(self, pattern: re.Pattern[str], problem: str) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            raise self._error(problem)
        self._at = found.end()
        return found[0]

    def _error(self, problem: str) -> TemplateError:
        return TemplateError(self._text, problem)
