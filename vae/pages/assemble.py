"""One HTML file from its parts: styles, scripts and data are inside, and nothing else may be loaded.

A Content-Security-Policy (W3C, level 3) allows the page's own script and style by their hashes, and images that the
page makes itself. Every other source is forbidden, the network above all.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup

from vae.pages.packing import as_text


def page(
    template: str,
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    title: str,
    data: Mapping[str, Any],
    blobs: Mapping[str, bytes] | None = None,
    **values: Any,
) -> str:
    """The page as text.

    Args:
        template: the file with the page's body, in this package.
        styles: files of CSS in this package, in their order.
        scripts: files of JavaScript in this package, in their order. They share one strict function scope.
        title: of the document.
        data: plain data for the scripts, by the id of the element that holds it.
        blobs: bytes for the scripts, likewise.
        values: for the template.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("vae.pages", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = "\n" + "".join(source(name) for name in styles)
    script = '\n"use strict";\n(() => {\n' + "".join(source(name) for name in scripts) + "})();\n"
    policy = (
        f"default-src 'none'; script-src '{hash_of(script)}'; style-src '{hash_of(style)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("frame.html.j2").render(
        title=title,
        policy=Markup(policy),
        style=Markup(style),
        script=Markup(script),
        body=Markup(environment.get_template(template).render(title=title, **values)),
        data={name: Markup(plain_json(value)) for name, value in data.items()},
        blobs={name: Markup(as_text(content)) for name, content in (blobs or {}).items()},
    )


def source(name: str) -> str:
    """The text of a file of this package."""
    return files("vae.pages").joinpath(name).read_text(encoding="utf-8")


def hash_of(text: str) -> str:
    """The hash of an inline script or style as the policy names it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def plain_json(value: Any) -> str:
    r"""JSON that may stand inside an element `script`: no character of it can end the element.

    Example:
        >>> plain_json({"name": "</script>"})
        '{"name":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
