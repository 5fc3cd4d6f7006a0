from __future__ import annotations

from pathlib import Path

import pytest

from aura.kernel.settings import Environment, Settings, SettingsError, read_settings

SECRET = "hunter2"
URL = f"postgresql://aura:{SECRET}@localhost:5432/aura"


def problems_of(**variables: str) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read_settings(variables)
    return str(caught.value).splitlines()


def test_needs_no_variable():
    settings = read_settings({"PATH": "/bin", "HOME": "/root"})

    assert settings.environment is Environment.DEVELOPMENT
    assert (settings.host, settings.port) == ("127.0.0.1", 50051)
    assert settings.secret_key_path == Path(".aura/secret.key")


def test_takes_every_setting_from_the_environment_it_is_given():
    settings = read_settings(
        {
            "AURA_ENVIRONMENT": "production",
            "AURA_HOST": "::1",
            "AURA_PORT": "0",
            "AURA_DATA_DIR": "/data",
            "AURA_DATABASE_URL": URL,
            "AURA_DATABASE_ADMIN_URL": "postgres://admin@localhost/aura",
            "AURA_SECRET_KEY_FILE": "/keys/secret",
            "AURA_SMTP_URL": "smtps://aura:secret@mail.example.com",
            "AURA_LOG_LEVEL": "debug",
            "AURA_LOG_FORMAT": "json",
            "AURA_DRAIN_SECONDS": "0.5",
            "AURA_MAXIMUM_MESSAGE_BYTES": "2048",
        }
    )

    assert settings.in_production
    assert (settings.host, settings.port, settings.data_dir) == ("::1", 0, Path("/data"))
    assert settings.database_url
    assert settings.database_url.get_secret_value() == URL
    assert settings.database_admin_url
    assert settings.database_admin_url.get_secret_value() == "postgres://admin@localhost/aura"
    assert settings.secret_key_path == Path("/keys/secret")
    assert (settings.log_level, settings.log_format) == ("debug", "json")
    assert (settings.drain_seconds, settings.maximum_message_bytes) == (0.5, 2048)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AURA_ENVIRONMENT", "staging", "'development', 'test' or 'production'"),
        ("AURA_PORT", "many", "integer"),
        ("AURA_PORT", "65536", "65535"),
        ("AURA_PORT", "-1", "0"),
        ("AURA_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("AURA_LOG_FORMAT", "xml", "'auto', 'console' or 'json'"),
        ("AURA_DRAIN_SECONDS", "soon", "number"),
        ("AURA_DRAIN_SECONDS", "-1", "0"),
        ("AURA_DRAIN_SECONDS", "nan", "0"),
        ("AURA_MAXIMUM_MESSAGE_BYTES", "12", "1024"),
        ("AURA_MAXIMUM_MESSAGE_BYTES", "100000000", "67108864"),
        ("AURA_DATABASE_URL", "", "postgresql://"),
        ("AURA_DATABASE_URL", f"mysql://aura:{SECRET}@localhost/aura", "postgresql://"),
        ("AURA_DATABASE_URL", f"postgresql://aura:half@{SECRET}@localhost/aura", "written as %XX"),
        ("AURA_DATABASE_ADMIN_URL", f"mysql://aura:{SECRET}@localhost/aura", "postgresql://"),
        ("AURA_DATABASE_ADMIN_URL", f"postgresql://a:b@localhost:{SECRET}/aura", "user:password@host"),
    ],
)
def test_a_wrong_value_gives_one_line_that_names_the_variable_and_no_secret(variable: str, value: str, says: str):
    (problem,) = problems_of(**{variable: value})

    assert problem.startswith(f"{variable}: ")
    assert says in problem
    assert SECRET not in problem


def test_several_wrong_values_give_a_line_each():
    problems = problems_of(AURA_PORT="x", AURA_LOG_LEVEL="x", AURA_COLOUR="x")

    assert sorted(line.split()[0].rstrip(":") for line in problems) == ["AURA_COLOUR", "AURA_LOG_LEVEL", "AURA_PORT"]


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("AURA_DATABSE_URL", "did you mean AURA_DATABASE_URL?"),
        ("AURA_LOGLEVEL", "did you mean AURA_LOG_LEVEL?"),
        ("AURA_SECRET_KEY", "did you mean AURA_SECRET_KEY_FILE?"),
        ("AURA_QQQQQQQQQQQQQ", "unset it"),
    ],
)
def test_refuses_an_unknown_variable_and_names_the_nearest(variable: str, advice: str):
    (problem,) = problems_of(**{variable: SECRET})

    assert problem == f"{variable} is not a setting; {advice}"


OTHERS = ["0.0.0.0", "::", "192.168.1.7", "example.com", "localhost.example.com", "127.1"]
CERTIFIED = {"AURA_TLS_CERTIFICATE_FILE": "/tls/aura.pem", "AURA_TLS_PRIVATE_KEY_FILE": "/tls/aura.key"}


@pytest.mark.parametrize("host", OTHERS)
def test_refuses_plain_text_where_others_reach_it_and_says_what_to_do(host: str):
    (problem,) = problems_of(AURA_HOST=host)

    assert problem.startswith(f"AURA_HOST={host} is no loopback address, as 127.0.0.1 is, so others reach it")
    assert "AURA_TLS_CERTIFICATE_FILE" in problem
    assert "AURA_ALLOW_PLAINTEXT=true" in problem


@pytest.mark.parametrize("allowed", [CERTIFIED, {"AURA_ALLOW_PLAINTEXT": "true"}], ids=["encrypted", "allowed"])
@pytest.mark.parametrize("host", OTHERS)
def test_takes_any_address_with_encryption_or_when_told_to(host: str, allowed: dict[str, str]):
    assert read_settings({"AURA_HOST": host, **allowed}).host == host


def test_http_may_be_left_out():
    assert read_settings({"AURA_HTTP_PORT": "none"}).http_port is None


def test_lists_have_commas():
    settings = read_settings(
        {"AURA_CORS_ORIGINS": "https://a.example, http://localhost:3000", "AURA_TRUSTED_PROXIES": "10.0.0.0/8,::1"}
    )

    assert settings.origins == ["https://a.example", "http://localhost:3000"]
    assert settings.trusted_proxies == "10.0.0.0/8,::1"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["AURA_TLS_CERTIFICATE_FILE"], "AURA_TLS_CERTIFICATE_FILE and AURA_TLS_PRIVATE_KEY_FILE go together"),
        (["AURA_TLS_PRIVATE_KEY_FILE"], "AURA_TLS_CERTIFICATE_FILE and AURA_TLS_PRIVATE_KEY_FILE go together"),
        (["AURA_TLS_CLIENT_AUTHORITY_FILE"], "AURA_TLS_CLIENT_AUTHORITY_FILE needs encryption"),
        ([*CERTIFIED, "AURA_TOPOLOGY_FILE"], "a topology names its certificates itself, in [tls]"),
    ],
)
def test_certificates_are_complete_or_not_there(given: list[str], says: str):
    (problem,) = problems_of(**dict.fromkeys(given, "/some/file"))

    assert problem.startswith(says)


def test_an_authority_of_clients_makes_encryption_mutual():
    one_way = read_settings(CERTIFIED).tls
    mutual = read_settings({**CERTIFIED, "AURA_TLS_CLIENT_AUTHORITY_FILE": "/tls/clients.pem"}).tls

    assert one_way
    assert mutual
    assert (one_way.mutual, one_way.authority) == (False, None)
    assert (mutual.mutual, mutual.authority) == (True, Path("/tls/clients.pem"))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
def test_takes_the_machines_own_addresses(host: str):
    assert read_settings({"AURA_HOST": host}).host == host


@pytest.mark.parametrize("given", [{}, {"AURA_SECRET_KEY_FILE": "/keys/secret"}])
def test_production_requires_a_database(given: dict[str, str]):
    (problem,) = problems_of(AURA_ENVIRONMENT="production", **given)

    assert problem.startswith("AURA_DATABASE_URL is required in production")


def test_production_requires_a_secret_key_file():
    (problem,) = problems_of(AURA_ENVIRONMENT="production", AURA_DATABASE_URL=URL)

    assert problem == "AURA_SECRET_KEY_FILE is required in production"


def test_production_requires_a_mail_server():
    given = {"AURA_DATABASE_URL": URL, "AURA_SECRET_KEY_FILE": "/keys/secret"}

    (problem,) = problems_of(AURA_ENVIRONMENT="production", **given)

    assert problem == "AURA_SMTP_URL is required in production; showing mails is for development"


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("AURA_SMTP_URL", "http://mail", "must begin with smtps://, smtp:// (STARTTLS) or smtp+plain://"),
        ("AURA_PUBLIC_URL", "aura.example.com", "should match pattern"),
        ("AURA_PUBLIC_URL", "https://aura.example.com/", "should match pattern"),
        ("AURA_PASSWORD_MEMORY_KIB", "100", "greater than or equal to 8192"),
        ("AURA_HTTP_PORT", "50051", "must differ from AURA_PORT"),
        ("AURA_CORS_ORIGINS", "a.example", "must list origins"),
        ("AURA_CORS_ORIGINS", "https://a.example/app", "must list origins"),
        ("AURA_TRUSTED_PROXIES", "10.0.0.0/8 ::1", "must list networks"),
        ("AURA_HOST", "", "at least 1 character"),
        ("AURA_RATE_LIMIT_PER_PEER", "-1", "greater than or equal to 0"),
        ("AURA_RATE_LIMIT_PER_ACCOUNT", "nan", "less than or equal to 1000000"),
        ("AURA_MAXIMUM_METADATA_BYTES", "100", "greater than or equal to 8192"),
        ("AURA_MAXIMUM_STREAMS_PER_CONNECTION", "0", "greater than or equal to 1"),
        ("AURA_CONNECTION_IDLE_SECONDS", "0", "greater than 0"),
    ],
)
def test_says_what_is_wrong_with_a_value(variable: str, value: str, says: str):
    (problem,) = problems_of(**{variable: value})

    assert variable in problem
    assert says in problem


def test_shows_no_secret():
    settings = read_settings({"AURA_DATABASE_URL": URL, "AURA_DATABASE_ADMIN_URL": URL})

    shown = f"{settings!r} {settings} {settings.model_dump()} {settings.model_dump_json()}"

    assert SECRET not in shown


def test_settings_cannot_be_changed():
    settings = Settings()

    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
