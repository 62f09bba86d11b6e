"""A spec in, its mistakes or its problem out."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest

from rnngrad.errors import SpecError
from rnngrad.files import load
from rnngrad.net.problem import Problem


def _load(source: Any, *overrides: str) -> Problem:
    if isinstance(source, str):
        source = source.encode()
    if isinstance(source, bytes):
        return load("-", overrides=overrides, stdin=io.BytesIO(source))
    return load(source, overrides=overrides)


@pytest.fixture
def loaded() -> Callable[..., Problem]:
    """``loaded(text or mapping, *overrides)`` -> Problem."""
    return _load


@pytest.fixture
def refused() -> Callable[..., list[str]]:
    """``refused(text or mapping, *overrides)`` -> the mistakes, which there must be."""

    def run(source: Any, *overrides: str) -> list[str]:
        with pytest.raises(SpecError) as caught:
            _load(source, *overrides)
        return list(caught.value.mistakes)

    return run


@pytest.fixture
def first_lines(refused: Callable[..., list[str]]) -> Callable[..., list[str]]:
    """The same without the quoted source."""
    return lambda *given: [words.split("\n")[0] for words in refused(*given)]
