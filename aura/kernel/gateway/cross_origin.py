"""Lets pages of other origins call, as far as the operator allows it (CORS, https://fetch.spec.whatwg.org)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

ANY_ORIGIN = "*"
EXPOSED = "etag, location, retry-after, www-authenticate, x-request-id"
REQUEST_HEADERS = (
    "authorization, content-type, grpc-timeout, idempotency-key, if-match, if-none-match, traceparent, tracestate, "
    "x-request-id"
)
PREFLIGHT_SECONDS = 7200


class CrossOrigin:
    """Knows which origins may call. Cookies are never for them: who calls is said by `Authorization`.

    Args:
        origins: as `https://app.example.org`; `*` is all.
    """

    def __init__(self, origins: Iterable[str] = ()) -> None:
        self._origins = frozenset(origins)

    def headers(self, origin: str) -> list[tuple[str, str]]:
        """Returns what an answer has to say to a page of an origin."""
        if not self._origins:
            return []
        vary = [("vary", "origin")]
        if not origin or not ({origin, ANY_ORIGIN} & self._origins):
            return vary
        return [*vary, ("access-control-allow-origin", origin), ("access-control-expose-headers", EXPOSED)]

    def preflight(self, origin: str, allowed: Sequence[str]) -> list[tuple[str, str]]:
        """Returns what the answer to the question whether a page may call has to say."""
        headers = self.headers(origin)
        if len(headers) > 1:
            headers += [
                ("access-control-allow-methods", ", ".join(allowed)),
                ("access-control-allow-headers", REQUEST_HEADERS),
                ("access-control-max-age", str(PREFLIGHT_SECONDS)),
            ]
        return headers
