"""One Chromium for all tests of a page, where there is one. In .ci/run there must be
(``RNNGRAD_BROWSER=required``); elsewhere they are skipped and told at the end as not proved."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from page.browser import Browser, chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    program = chromium()
    if program is None:
        if os.environ.get("RNNGRAD_BROWSER") == "required":
            pytest.fail("browser: no Chromium here, and RNNGRAD_BROWSER=required")
        pytest.skip("browser: no Chromium here")
    with Browser(program) as found:
        yield found
