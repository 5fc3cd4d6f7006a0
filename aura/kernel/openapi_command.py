"""The command that writes the description of the REST interface."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from aura.kernel.module import ModuleSpec
from aura.kernel.openapi_document import platform_openapi


def openapi_command(specs: Mapping[str, ModuleSpec]) -> Callable[..., None]:
    """Returns the command for some modules."""

    def openapi(
        *, output: Annotated[Path | None, typer.Option(help="File to write to; default: standard output.")] = None
    ) -> None:
        """Write the OpenAPI document of the REST interface."""
        text = f"{json.dumps(platform_openapi(specs), ensure_ascii=False, indent=2)}\n"
        if output is None:
            typer.echo(text, nl=False)
            return
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text, encoding="utf-8")

    return openapi
