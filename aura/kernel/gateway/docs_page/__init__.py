"""The page that shows the interface in a browser, and lets one try it."""

from aura.kernel.gateway.docs_page.assets import DOCS_HEADERS, DOCS_PATHS, Asset, docs_asset

__all__ = ["DOCS_HEADERS", "DOCS_PATHS", "Asset", "docs_asset"]
