"""The stress table: records that commands write, and the page that is made of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import random_nets
import stress
import stress_tests
from stress import Row

REPORT = """<testsuites><testsuite>
<testcase classname="tests.properties.test_metamorphic" name="test_it_holds[one]">
<properties><property name="metamorphic" value="12"/></properties></testcase>
<testcase classname="tests.properties.test_random_nets" name="test_it_holds[two]">
<failure message="x"/></testcase>
<testcase classname="tests.properties.test_random_nets" name="test_other"><skipped/></testcase>
</testsuite></testsuites>"""


def test_a_record_becomes_rows_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stress, "RECORDS", tmp_path)
    rows = [
        Row("faults", "a full disk", "3 of 3", True),
        Row("fuzzing", "a|b", "1 h", False, "hangs"),
    ]
    written = json.loads(stress.record("one", "python x.py", rows).read_text(encoding="utf-8"))
    assert written["command"] == "python x.py"
    assert written["rows"][0]["figure"] == "3 of 3"
    page = stress.page()
    on = f"{written['version']} ({written['commit']}), {written['date']}"
    assert f"| a full disk | 3 of 3 | holds | {on} | `python x.py` |" in page
    assert f"| a\\|b | 1 h | open: hangs | {on} | `python x.py` |" in page
    assert page.count("No record yet.") == len(stress.KINDS) - 2


@pytest.mark.parametrize(
    "rows", [[], [Row("else", "a", "b", True)], [Row("faults", "a", "b", False)]]
)
def test_a_row_of_no_kind_or_open_without_a_word_is_refused(rows: list[Row]) -> None:
    with pytest.raises(ValueError, match="a row is of no kind, or open without a note"):
        stress.record("one", "python x.py", rows)


@pytest.mark.parametrize("path", sorted(stress.RECORDS.glob("*.json")), ids=lambda path: path.stem)
def test_every_record_is_whole(path: Path) -> None:
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found.keys() == {"command", "version", "commit", "date", "rows"}
    assert all(row["kind"] in stress.KINDS and row["figure"] for row in found["rows"])
    assert (stress.ROOT / found["command"].split()[1]).is_file()


def test_properties_are_read_from_a_report() -> None:
    one, two = random_nets.shown(REPORT)
    assert one == ("metamorphic", "one", 12, True)
    assert two == ("properties", "two", 0, False)


def test_tests_are_counted() -> None:
    assert stress_tests.counted(REPORT) == (1, 1)
