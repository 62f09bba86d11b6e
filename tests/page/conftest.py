"""One Chromium for all tests of a page, where there is one. In .ci/run there must be
(``RNNGRAD_BROWSER=required``); elsewhere they are skipped and told at the end as not proved."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import NoReturn

import pytest

from page.browser import Browser, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        _refuse("no Chromium here")
    try:
        found = Browser(program)
    except (OSError, AssertionError) as error:  # one that may not write to our folder, say
        _refuse(f"{program} does not start: {error}")
    with found:
        yield found


def _refuse(why: str) -> NoReturn:
    if os.environ.get("RNNGRAD_BROWSER") == "required":
        pytest.fail(f"browser: {why}, and RNNGRAD_BROWSER=required", pytrace=False)
    pytest.skip(f"browser: {why}")
