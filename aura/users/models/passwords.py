"""Which passwords may be used (NIST SP 800-63B-4, 3.1.1.2; OWASP ASVS 5.0, V6.2)."""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from aura.users.errors import PasswordRefused

SHORTEST, LONGEST = 8, 256
SHORTEST_TELLING_WORD = 4
"""Shorter parts of names are too common to be refused for."""


def normalized(password: str) -> str:
    """Returns the password as it is hashed: NFKC, so that it is the same from every keyboard (NIST)."""
    return unicodedata.normalize("NFKC", password)


def require_good(password: str, *, field: str, email: str, display_name: str) -> None:
    """Sees that a password may be used by a person.

    Raises:
        PasswordRefused: It is too short or too long, common, or contains the person's own name or address.
    """
    text = normalized(password)
    if len(text) < SHORTEST:
        raise PasswordRefused(field, f"must have at least {SHORTEST} characters")
    if len(text) > LONGEST:
        raise PasswordRefused(field, f"must have at most {LONGEST} characters")
    folded = text.casefold()
    if folded in common_passwords():
        raise PasswordRefused(field, "is one of the passwords that are tried first; choose another one")
    for word in _own_words(email, display_name):
        if word in folded:
            raise PasswordRefused(field, "must not contain your own name or e-mail address")


@cache
def common_passwords() -> frozenset[str]:
    """Returns the 30,000 most common passwords; read when they are first asked for."""
    from zxcvbn.frequency_lists import FREQUENCY_LISTS  # noqa: PLC0415 two megabytes that other commands do not need

    return frozenset(FREQUENCY_LISTS["passwords"])


def _own_words(email: str, display_name: str) -> set[str]:
    own = unicodedata.normalize("NFKC", f"{email} {display_name}").casefold()
    local, _, domain = email.casefold().rpartition("@")
    words = {*re.findall(r"\w+", f"{display_name} {local}".casefold()), local, domain, own.partition(" ")[0]}
    return {word for word in words if len(word) >= SHORTEST_TELLING_WORD}
