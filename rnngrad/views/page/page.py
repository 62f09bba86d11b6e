"""The frame of a page: what it may load (nothing), how it looks, and the words in it escaped.

The policy holds a browser to it: no request leaves the page, no script but ours runs, no style but
ours is seen, whatever stands in a name. Without script everything is there to be read.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator
from functools import cache
from hashlib import sha256
from html import escape
from pathlib import Path

from rnngrad.errors import escaped
from rnngrad.version import __version__
from rnngrad.views.provenance import Provenance

_NO_BREAK = "\N{NO-BREAK SPACE}"


def page(
    title: str, body: Iterable[str], *, script: bool = False, provenance: Iterable[Provenance] = ()
) -> Iterator[str]:
    """The page piece by piece; ``script``: what lets it be asked, by pointer and by keys;
    ``provenance``: of which specs."""
    style, code = _file("style.css"), _file("script.js") if script else ""
    runs = f"; script-src {_hashed(code)}" if script else ""
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hashed(style)}{runs}; base-uri 'none'; "
        "form-action 'none'"
    )
    yield (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="generator" content="rnngrad {__version__}">\n'
        f"{''.join(map(_spec, provenance))}"
        '<link rel="icon" href="data:,">\n'
        f"<title>{text(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n"
    )
    yield from body
    yield "</main>\n" + (f"<script>{code}</script>\n" if script else "") + "</body>\n</html>\n"


def _spec(one: Provenance) -> str:
    words = text(f"{one.name}, seed {one.seed}, hash {one.hash}")
    return f'<meta name="spec" content="{words}">\n'


def text(words: str) -> str:
    """Words as text of HTML, or within an attribute's quotes; what cannot be seen is written as an
    escape."""
    return _NO_BREAK.join(escape(escaped(part)) for part in words.split(_NO_BREAK))


def _hashed(content: str) -> str:
    return f"'sha256-{b64encode(sha256(content.encode()).digest()).decode()}'"


@cache
def _file(name: str) -> str:
    """Without what only whoever writes it needs."""
    content = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return re.sub(r"(?<=\n)\s+| +/\*.*?\*/", "", content)
