"""The real Envoy, with a configuration, for as long as a test needs it."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import envoy

BINARY = Path(envoy.__file__).with_name("_bin") / "envoy"
START_SECONDS = 30.0
POLL_SECONDS = 0.05


@contextmanager
def running_envoy(config: Mapping[str, Any], folder: Path) -> Iterator[int]:
    """Starts Envoy, waits until it listens, and yields the port."""
    file, log = folder / "envoy.json", folder / "envoy.log"
    file.write_text(json.dumps(config))
    (listener,) = config["static_resources"]["listeners"]
    port = listener["address"]["socket_address"]["port_value"]
    options = ["--disable-hot-restart", "--concurrency", "1", "--log-level", "warning"]
    with log.open("wb") as output:
        process = subprocess.Popen([BINARY, "-c", file, *options], stdout=output, stderr=output)
    try:
        _wait(process, port, log)
        yield port
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _is_listening(port):
        assert process.poll() is None, f"Envoy ended:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"Envoy does not listen:\n{log.read_text()}"
        time.sleep(POLL_SECONDS)


def _is_listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
