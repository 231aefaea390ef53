"""Nothing that a target says reaches a terminal or forges a line of a report."""

from __future__ import annotations

import json

import pytest
from call_trees import Node, tree
from execd.model.profile import ROOT, Function, Label, Profile
from execd.reports import FORMATS, ReportOptions, View, render
from execd.reports.escape import MAX_SHOWN, frame, valid, visible
from execd.reports.layout import Layout
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(st.characters(), min_size=1, max_size=10)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[31m", r"\x1b[31m"),
        ("a\nb\r\t\0", r"a\x0ab\x0d\x09\x00"),
        ("\x7f\x85\x9b", r"\x7f\x85\x9b"),
        ("\u202a\u202e\u2066\u2069\u200e\u200f\u061c", r"\u202a\u202e\u2066\u2069\u200e\u200f\u061c"),
        ("\u2028\u2029\ufeff", r"\u2028\u2029\ufeff"),
        ("\udcff\ud83d", r"\udcff\ud83d"),
        ("\U000e0041", r"\U000e0041"),
        ("größe_度_🐍", "größe_度_🐍"),
        ("<built-in method builtins.len>", "<built-in method builtins.len>"),
    ],
)
def test_what_does_not_print_is_shown_as_its_number(raw: str, shown: str) -> None:
    assert visible(raw) == shown


@given(st.text(st.characters()))
def test_visible_text_prints_and_is_utf8(raw: str) -> None:
    assert visible(raw).isprintable()
    assert visible(raw).encode().decode() == visible(raw)


@given(st.text(st.characters()))
def test_a_frame_holds_no_separator(raw: str) -> None:
    assert not set(frame(raw)) & set("; \n")


def test_a_name_of_megabytes_is_cut() -> None:
    assert len(visible("x" * 5_000_000)) == MAX_SHOWN + 3


def test_valid_text_keeps_all_but_lone_surrogates() -> None:
    assert valid("a\x1b\udc80\u202e") == "a\x1b\\udc80\u202e"


def hostile_profile(text: str) -> Profile:
    """Return a profile that has this text wherever a target can put one."""
    called = Function(text, text, text, 3)
    inner = Function(f"{text}2", text, text, 4)
    return tree(
        [
            Node(ROOT, called, 1, 5_000, label=Label(1, text, 1)),
            Node(0, inner, 1, 5_000, label=Label(1, text, 1)),
        ],
        command_line=(text, text),
        caveats=(text,),
        lost={text: 1},
        python_version=text,
        options={text: [text]},
    )


@given(TEXT)
def test_no_text_of_a_target_leaves_the_printable_lines_of_a_report(text: str) -> None:
    profile = hostile_profile(text)
    options = ReportOptions(per_thread=True, layout=Layout(width=0))
    usual = len(render(hostile_profile("x"), "text", options).split(b"\n"))
    report = render(profile, "text", options).decode()
    assert report.replace("\n", "").isprintable()
    assert len(report.split("\n")) == usual
    for view in View:
        assert render(profile, "text", ReportOptions(view=view)).decode().replace("\n", "").isprintable()
    compared = render(profile, "text", ReportOptions(), tree([])).decode()
    assert compared.replace("\n", "").isprintable()


@given(TEXT)
def test_collapsed_stacks_stay_two_lines_of_two_fields(text: str) -> None:
    lines = render(hostile_profile(text), "collapsed", ReportOptions()).decode().splitlines()
    assert [len(line.split(" ")) for line in lines] == [2, 2]
    assert [line.count(";") for line in lines] == [0, 1]


@given(TEXT)
def test_json_stays_valid_and_keeps_what_utf8_can_hold(text: str) -> None:
    document = json.loads(render(hostile_profile(text), "json", ReportOptions()))
    assert valid(text) in [one["name"] for one in document["functions"]]
    assert json.dumps(document, ensure_ascii=False).encode()


@given(TEXT)
def test_every_format_takes_any_text(text: str) -> None:
    assert all(render(hostile_profile(text), one, ReportOptions()) for one in FORMATS["calls"])
