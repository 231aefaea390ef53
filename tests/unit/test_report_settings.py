"""What is asked of one collector's reports alone, and asked of another's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from call_trees import Node, tree
from execd.errors import UsageError
from execd.model.profile import ROOT
from execd.reports import FORMATS, SETTINGS, ReportOptions, check_settings, render, render_files

CALLS = tree([Node(ROOT, "main", 1, 10)])


def test_what_another_collector_knows_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match=r"^by, ignore-module does not fit profiles of calls$"):
        render(CALLS, "text", ReportOptions(settings={"ignore_modules": [], "by": "lineno"}))
    with pytest.raises(UsageError, match="missing does not fit profiles of memory") as caught:
        check_settings("memory", {"by": "lineno", "missing": True})
    assert "all-frames, by, cumulative" in caught.value.remedy


def test_options_are_told_as_they_are_given() -> None:
    with pytest.raises(UsageError, match="bias does not fit profiles of samples") as caught:
        check_settings("samples", {"bias": "auto"})
    assert caught.value.remedy == "leave it out; what fits: between, by, last, view"
    with pytest.raises(UsageError, match=r"^between, last does not fit profiles of memory$"):
        check_settings("memory", {"from_s": 1.0, "last_s": 1.0, "to_s": 2.0})


@pytest.mark.parametrize(
    ("form", "message"), [("nope", "no format 'nope'"), ("lcov", "profiles of calls have no format lcov")]
)
def test_a_format_that_there_is_not_names_reports_and_exports(form: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        render(CALLS, form, ReportOptions())
    assert caught.value.remedy == (
        "`execctl report` shows text, json, pstats-text; `execctl export` writes pstats, pprof, collapsed"
    )


def test_an_option_that_chose_a_format_is_named_and_not_that() -> None:
    with pytest.raises(UsageError, match=r"^file does not fit profiles of calls$") as caught:
        render(CALLS, "source", ReportOptions(settings={"file": "app.py"}))
    assert caught.value.remedy == "leave it out; what fits: bias"


def test_of_what_has_no_exports_reports_alone_are_named() -> None:
    with pytest.raises(UsageError) as caught:
        render(replace(CALLS, header=replace(CALLS.header, collector="trace")), "pprof", ReportOptions())
    assert caught.value.remedy == "`execctl report` shows text, json"


@pytest.mark.parametrize("collector", sorted(SETTINGS))
def test_what_a_collector_knows_fits(collector: str) -> None:
    check_settings(collector, dict.fromkeys(SETTINGS[collector], True))
    assert collector in FORMATS


def test_a_comparison_is_checked_too() -> None:
    with pytest.raises(UsageError, match="flat does not fit"):
        render(CALLS, "json", ReportOptions(settings={"flat": True}), earlier=CALLS)


def test_files_of_a_format_that_is_one_are_refused() -> None:
    with pytest.raises(UsageError, match="the format text is one file"):
        render_files(CALLS, "text", ReportOptions())
