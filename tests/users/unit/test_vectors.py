"""Test vectors that others wrote: TOTP, argon2, tokens and addresses."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import argon2
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from aura.kernel.security.access_tokens import AccessTokenInvalid, AccessTokens
from aura.kernel.security.callers import _decoded
from aura.users.errors import EmailInvalid
from aura.users.models.user import normalized_email
from aura.users.services.second_factor import DIGITS, app


def blocks(name: str) -> Iterator[dict[str, str]]:
    """The vectors of a file that ships with cryptography: lines of `NAME = VALUE`, each begun by COUNT."""
    block: dict[str, str] = {}
    for line in files("cryptography_vectors").joinpath(name).read_text().splitlines():
        key, equals, value = (part.strip() for part in line.partition("="))
        if key == "COUNT" and block:
            yield block
            block = {}
        if equals and not line.startswith("#"):
            block[key] = value
    yield block


TOTP = [block for block in blocks("twofactor/rfc-6238.txt") if block["MODE"] == "SHA1"]
ARGON2 = [block for block in blocks("KDF/argon2id.txt") if "secret" not in block and "ad" not in block]


def test_there_are_vectors():
    assert len(TOTP) == 6
    assert len(ARGON2) >= 3


@pytest.mark.parametrize("vector", TOTP, ids=lambda vector: vector["TIME"])
def test_totp_is_that_of_rfc_6238(vector: dict[str, str]):
    """The RFC's codes have eight digits, of which apps show the last six."""
    shown = app(vector["SECRET"].encode()).generate(int(vector["TIME"]))

    assert shown.decode() == vector["TOTP"][-DIGITS:]


@pytest.mark.parametrize("vector", ARGON2, ids=lambda vector: vector["COUNT"])
def test_argon2id_is_that_of_rfc_9106(vector: dict[str, str]):
    made = argon2.low_level.hash_secret_raw(
        secret=bytes.fromhex(vector.get("pass", "")),
        salt=bytes.fromhex(vector["salt"]),
        time_cost=int(vector["iter"]),
        memory_cost=int(vector["memcost"]),
        parallelism=int(vector["lanes"]),
        hash_len=int(vector["length"]),
        type=argon2.Type.ID,
    )

    assert made.hex() == vector["output"]


# RFC 8037, appendix A: a key and a signature made with it.
KEY = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
SIGNED = (
    "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
)
# RFC 7519, 3.1 and 6.1: a token with a MAC, and one without any protection.
WITH_MAC = (
    "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
    "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)
UNSECURED = (
    "eyJhbGciOiJub25lIn0."
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
)


def test_keys_and_signatures_are_those_of_rfc_8037():
    key = Ed25519PublicKey.from_public_bytes(_decoded(KEY))

    payload = jwt.api_jws.decode(SIGNED, key, algorithms=["EdDSA"])

    assert payload == b"Example of Ed25519 signing"
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.api_jws.decode(SIGNED.replace("RXhh", "RXhi"), key, algorithms=["EdDSA"])


@pytest.mark.parametrize("text", [SIGNED, WITH_MAC, UNSECURED], ids=["RFC 8037", "RFC 7519, 3.1", "RFC 7519, 6.1"])
async def test_tokens_of_the_rfcs_are_none_of_ours(text: str):
    key = Ed25519PublicKey.from_public_bytes(_decoded(KEY))

    async def find(*, again: bool) -> dict[str, Ed25519PublicKey]:
        return {"": key, "None": key}

    with pytest.raises(AccessTokenInvalid):
        await AccessTokens(find, now=lambda: 1300819370.0).verify(text)


def test_addresses_are_judged_as_email_validators_own_tests_judge_them(request: pytest.FixtureRequest, tmp_path: Path):
    """Those come with its source only, which is fetched where tests run at full size."""
    if not request.config.getoption("--prove"):
        pytest.skip("fetches the source of email-validator: with --prove")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", ":all:", "-d", str(tmp_path)]
    subprocess.run([*pip, f"email-validator=={version('email-validator')}"], check=True)
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as opened:
        member = next(each for each in opened.getmembers() if each.name.endswith("tests/test_syntax.py"))
        source = opened.extractfile(member)
        assert source
        cases = list(is_email_cases(ast.parse(source.read())))

    judged = {"valid": 0, "invalid": 0}
    for address, verdict in cases:
        is_valid = verdict in {"ISEMAIL_VALID", "ISEMAIL_DNSWARN_NO_RECORD", "ISEMAIL_DNSWARN_NO_MX_RECORD"}
        judged["valid" if is_valid else "invalid"] += 1
        if verdict.startswith("ISEMAIL_ERR"):
            with pytest.raises(EmailInvalid):
                normalized_email(address)
        elif verdict == "ISEMAIL_VALID":
            assert normalized_email(address)
    sys.stderr.write(json.dumps({"addresses": len(cases), **judged}) + "\n")
    assert judged["valid"] > 5
    assert judged["invalid"] > 50


def is_email_cases(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """The addresses with what isEmail says of them."""
    for node in ast.walk(tree):
        if isinstance(node, ast.List) and len(node.elts) == 2 and all(isinstance(e, ast.Constant) for e in node.elts):
            address, verdict = (each.value for each in node.elts)  # type: ignore[attr-defined]
            if isinstance(verdict, str) and verdict.startswith("ISEMAIL_"):
                yield address, verdict
