from __future__ import annotations

import pytest

from aura.mentalhealth.domain.entities.disorder import canonical_code


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("F33.1", "F33.1"),
        ("f331", "F33.1"),
        (" f33 ", "F33"),
        ("F10.120", "F10.120"),
        ("f10120", "F10.120"),
        ("f30-f39", "F30-F39"),
        ("x", "X"),
        ("", ""),
    ],
)
def test_writes_codes_as_the_catalogue_does(text: str, code: str):
    assert canonical_code(text) == code
