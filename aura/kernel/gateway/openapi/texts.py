"""What contracts say in comments, as the document says it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Protocol

from aura.kernel.gateway.openapi.json_schema import Schema

_SENTENCE = re.compile(r"(.+?[.!?])(?:\s|$)", re.DOTALL)


class Named(Protocol):
    """A descriptor of anything that has a name."""

    @property
    def full_name(self) -> str:
        """The name with its package."""


class Texts:
    """Finds comments.

    Args:
        comments: the comments by the full names of what they are about, as `aura.users.v1.User.email`.
    """

    def __init__(self, comments: Mapping[str, str]) -> None:
        self._comments = comments

    def of(self, descriptor: Named) -> str:
        """Returns what is said of something; empty if nothing."""
        return self.named(descriptor.full_name)

    def named(self, full_name: str) -> str:
        """Returns what is said of what has this name; of a value of an enum, by the enum's name and its own."""
        return paragraphs(self._comments.get(full_name, ""))


def described(*said: str) -> Schema:
    """Returns the description that is made of some texts; nothing if they are all empty."""
    text = "\n\n".join(filter(None, said))
    return {"description": text} if text else {}


def paragraphs(comment: str) -> str:
    """Returns a comment with each of its paragraphs, but not its lists, on one line."""
    joined = re.sub(r"(?<=\S)[ \t]*\n(?=[^\s\-*])", " ", comment.strip())
    return re.sub(r"[ \t]+\n", "\n", joined)


def first_sentence(text: str) -> str:
    """Returns how a text begins, without its full stop."""
    found = _SENTENCE.match(text)
    return (found[1] if found else text).rstrip(".").replace("\n", " ")
