"""The files of the page: its own, and those of Swagger UI as an installed package has them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources

OWN = "aura.kernel.gateway.docs_page"
SWAGGER_UI = "mkdocs_swagger_ui_tag"
"""A package that ships the files of Swagger UI 5; nothing of its code is used."""
HTML, CSS, JAVASCRIPT = "text/html; charset=utf-8", "text/css; charset=utf-8", "text/javascript; charset=utf-8"
_POLICY = (
    "default-src 'none'",
    "connect-src 'self'",
    "img-src 'self' data:",  # Swagger UI's style sheet has its icons inside of it
    "script-src 'self'",
    "style-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
)
DOCS_HEADERS: Mapping[str, str] = {
    "cache-control": "no-cache",  # a browser asks again, and mostly gets 304
    "content-security-policy": "; ".join(_POLICY),
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
"""The headers that all files of the page are served with."""


@dataclass(frozen=True, kw_only=True)
class _Source:
    """Where a file is: in which package, and there under which name."""

    package: str
    name: str
    content_type: str


_SOURCES: Mapping[str, _Source] = {
    "/docs": _Source(package=OWN, name="page.html", content_type=HTML),
    "/docs/page.css": _Source(package=OWN, name="page.css", content_type=CSS),
    "/docs/page.js": _Source(package=OWN, name="page.js", content_type=JAVASCRIPT),
    "/docs/swagger-ui.css": _Source(package=SWAGGER_UI, name="swagger-ui/stylesheets/swagger-ui.css", content_type=CSS),
    "/docs/swagger-ui-bundle.js": _Source(
        package=SWAGGER_UI, name="swagger-ui/javascripts/swagger-ui-bundle.js", content_type=JAVASCRIPT
    ),
}


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A file of the page.

    Attributes:
        body: What is in it.
        content_type: What it is.
        etag: Its entity tag, in quotes; another one for other content.
    """

    body: bytes
    content_type: str
    etag: str


DOCS_PATHS = frozenset(_SOURCES)
"""The paths at which the page and its files are."""


def docs_asset(path: str) -> Asset | None:
    """Returns the file at a path, which is read anew, for it is seldom asked for; None if there is none.

    Args:
        path: the path as in a request: `/docs`, also with a slash at its end, or `/docs/page.js`.
    """
    source = _SOURCES.get(path.removesuffix("/"))
    if source is None:
        return None
    body = resources.files(source.package).joinpath(source.name).read_bytes()
    return Asset(body=body, content_type=source.content_type, etag=f'"{hashlib.sha256(body).hexdigest()[:16]}"')
