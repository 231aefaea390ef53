"""The text report: in the order and with the figures that pstats has, in lines that fit, whatever the names are."""

from __future__ import annotations

import marshal
import pstats
import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from call_trees import MAIN, Node, function, random_tree, tree
from execd.errors import UsageError
from execd.model.profile import ROOT, Function, Label
from execd.reports import ReportOptions, View, render
from execd.reports.layout import Layout, layout_of_width
from execd.reports.next_commands import closing
from execd.reports.selection import SORT_KEYS, resolve
from execd.reports.widths import short_path, width_of
from hypothesis import given
from hypothesis import strategies as st
from request_trees import web_server

if TYPE_CHECKING:
    from execd.model.profile import Profile

GOLDEN = Path(__file__).parent.parent / "golden"
PROFILE = random_tree(5)
WIDE = Layout(width=0)
TABLE = Layout(width=0, has_header=False)
QUALIFIED = {(one.file, one.first_line, one.name): one.qualname for one in PROFILE.functions}


def text(profile: Profile, earlier: Profile | None = None, **options: Any) -> str:
    """Return the text report."""
    return render(profile, "text", ReportOptions(**options), earlier).decode()


def table(profile: Profile, **options: Any) -> list[tuple[str, ...]]:
    """Return the rows of the table: the function, where it is, calls, self and total time; of an edge with an arrow."""
    title, *lines = text(profile, layout=TABLE, **{"limits": ("1.0",), **options}).splitlines()
    ends = [title.index(name) + len(name) for name in ("calls", "self s", "total s")]
    places = [re.split("  +", line)[-2:] for line in lines]
    return [(*place, *(line[:end].split()[-1] for end in ends)) for place, line in zip(places, lines, strict=True)]


def loaded(path: Path, profile: Profile, options: ReportOptions) -> Any:
    """Return what pstats makes of our own export of a profile, sorted."""
    path.write_bytes(render(profile, "pstats", ReportOptions()))
    stats: Any = pstats.Stats(str(path))
    if options.strip_dirs:
        stats.strip_dirs()
    stats.sort_stats(*(int(one) if re.fullmatch("-?[0-9]", one) else one for one in options.sort))
    if options.reverse:
        stats.reverse_order()
    stats.calc_callees()
    return stats


def by_pstats(stats: Any, options: ReportOptions) -> list[tuple[str, ...]]:
    """Return what the table must hold by the figures of pstats."""
    limits = [
        int(one) if one.isdigit() else float(one) if one.count(".") == 1 and one[-1].isdigit() else one
        for one in options.limits
    ]
    _, functions = stats.get_print_list(limits)
    edges = {View.CALLERS: lambda one: stats.stats[one][4], View.CALLEES: stats.all_callees.__getitem__}
    rows = []
    for one in functions:
        primitive, calls, own, total, _ = stats.stats[one]
        rows.append(row(one, calls, primitive, own, total))
        others = edges[options.view](one) if options.view in edges else {}
        for other, figures in sorted(others.items(), key=lambda edge: (-edge[1][3], -edge[1][0], edge[0])):
            rows.append(row(other, *figures, arrow="<- " if options.view is View.CALLERS else "-> "))
    return rows


def row(
    one: tuple[str, int, str], calls: int, primitive: int, own: float, total: float, *, arrow: str = ""
) -> tuple[str, ...]:
    """Return a row as the table has it."""
    file, line, name = one
    whole = next(key for key in QUALIFIED if key[1:] == (line, name) and key[0].rpartition("/")[2] == Path(file).name)
    shown = QUALIFIED[whole] if line else name.removeprefix("<built-in method ").removesuffix(">")
    figures = [f"{seconds:,.3f}" if seconds else "0" for seconds in (own, total)]
    called = f"{calls:,}" if calls == primitive else f"{calls:,}/{primitive:,}"
    return (arrow + shown, f"{file}:{line}" if line else "built-in", called, *figures)


@pytest.mark.parametrize("sort", [*((one,) for one in SORT_KEYS), ("-1",), ("0",), ("1",), ("2",), ("nam", "li")])
@pytest.mark.parametrize("strip_dirs", [False, True])
@pytest.mark.parametrize("view", list(View))
def test_every_sort_key_orders_as_in_pstats_with_its_figures(
    sort: tuple[str, ...], view: View, tmp_path: Path, *, strip_dirs: bool
) -> None:
    options = ReportOptions(sort=sort, view=view, strip_dirs=strip_dirs)
    expected = by_pstats(loaded(tmp_path / "stats", PROFILE, options), options)
    assert table(PROFILE, sort=sort, view=view, strip_dirs=strip_dirs) == expected


@pytest.mark.parametrize(
    "limits",
    [
        ("7",),
        (".5",),
        ("0.31",),
        ("1.0",),
        ("m1",),
        ("0.5", "built-in"),
        ("built-in", "0.5"),
        ("9999",),
        ("5", "3"),
    ],
)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("view", list(View))
def test_every_limit_leaves_what_pstats_leaves(
    limits: tuple[str, ...], view: View, tmp_path: Path, *, reverse: bool
) -> None:
    options = ReportOptions(sort=("time", "nfl"), limits=limits, view=view, reverse=reverse)
    expected = by_pstats(loaded(tmp_path / "stats", PROFILE, options), options)
    assert table(PROFILE, sort=options.sort, limits=limits, view=view, reverse=reverse) == expected


def test_the_summary_has_the_sums_of_pstats(tmp_path: Path) -> None:
    stats = loaded(tmp_path / "stats", PROFILE, ReportOptions(sort=("time",)))
    calls = f"{stats.total_calls:,} calls ({stats.prim_calls:,} primitive calls) of {len(stats.stats)} functions"
    assert f"{calls}, {stats.total_tt:,.3f} s in 2 threads\n" in text(PROFILE)


def test_prefixes_of_sort_keys_mean_what_they_mean_in_pstats() -> None:
    definitions = pstats.Stats().get_sort_arg_defs()
    by_pstats = {prefix: title for prefix, (_, title) in definitions.items()}
    ours = {}
    for prefix in {key[:size] for key in SORT_KEYS for size in range(1, len(key) + 1)}:
        try:
            ours[prefix] = SORT_KEYS[resolve([prefix])[0]][1]
        except UsageError:
            continue
    assert ours == by_pstats


@pytest.mark.parametrize("key", ["n", "cum", "c", "t", "bogus", "", "3"])
def test_an_unknown_or_ambiguous_sort_key_is_refused_with_all_keys(key: str) -> None:
    with pytest.raises(UsageError) as refused:
        text(PROFILE, sort=(key,))
    assert all(known in refused.value.remedy for known in SORT_KEYS)


def test_keys_after_a_numeric_one_are_ignored() -> None:
    assert text(PROFILE, sort=("1", "bogus")) == text(PROFILE, sort=("time",))


def test_the_usual_order_is_by_the_time_in_functions_themselves() -> None:
    assert text(PROFILE) == text(PROFILE, sort=("time",)) != text(PROFILE, sort=("cumulative",))


@pytest.mark.parametrize(("sort", "first"), [("time", "self s"), ("cumulative", "total s"), ("calls", "calls")])
def test_what_the_order_is_by_stands_first_with_its_share(sort: str, first: str) -> None:
    title, *lines = text(PROFILE, sort=(sort,), layout=TABLE).splitlines()
    assert title.lstrip().startswith(f"{first}  ")
    shares = [float(line.split()[1]) for line in lines]
    assert shares == sorted(shares, reverse=True)


def test_of_many_functions_the_first_are_shown_and_the_others_counted() -> None:
    profile = random_tree(5, size=2_000, functions=500)
    last = text(profile).splitlines()[-1]
    count = int(last.split()[0])
    assert last == f"{count} more: --limit 1.0 shows all"
    assert len(table(profile)) - count == len(table(profile, limits=("40",))) == 40


@pytest.mark.parametrize("limit", ["(", "1.5", "-3", "-0.5", "*"])
def test_a_limit_that_means_nothing_is_refused(limit: str) -> None:
    with pytest.raises(UsageError):
        text(PROFILE, limits=(limit,))


def test_limits_that_leave_nothing_say_so() -> None:
    report = text(PROFILE, limits=("no such function",))
    assert "List reduced from 40 to 0 due to restriction <'no such function'>" in report
    assert "(no functions)" in report


def test_recursion_builtins_and_open_frames_are_shown_as_in_the_golden_report() -> None:
    profile = tree(
        [
            Node(ROOT, "main", 0, 1_500_000_000, open=1),
            Node(0, "fib", 1, 250_000_000),
            Node(1, "fib", 2, 125_000_000),
            Node(0, "<built-in method builtins.len>", 3, 1_000_000),
        ],
        lost={"overflow": 2, "nothing": 0},
        caveats=("since attach",),
    )
    assert text(profile, strip_dirs=True) == (GOLDEN / "report.txt").read_text("utf-8")


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_web_server_is_shown_as_in_the_golden_reports(width: int) -> None:
    limits = () if width == 100 else ("14",)
    report = text(
        web_server(), layout=Layout(width), limits=limits, view=View.CALLERS if width == 80 else View.FUNCTIONS
    )
    assert report == (GOLDEN / f"report-{width}.txt").read_text("utf-8")
    assert max(map(width_of, report.splitlines())) <= width


def test_a_comparison_is_shown_as_in_the_golden_report() -> None:
    earlier = tree([Node(ROOT, "gone", 2, 5_000_000), Node(ROOT, "more", 1, 1_000_000), Node(ROOT, "less", 5)])
    later = tree([Node(ROOT, "new", 7, 9_000_000), Node(ROOT, "more", 2, 3_000_000), Node(ROOT, "less", 4)])
    assert text(later, earlier) == (GOLDEN / "change.txt").read_text("utf-8")


def test_a_comparison_takes_sort_keys_and_limits() -> None:
    later = tree([Node(ROOT, "small", 9, 1), Node(ROOT, "large", 1, 9)])
    lines = text(later, tree([]), sort=("calls",), limits=("1",)).splitlines()
    small = f"/srv/app.py:{function('small').first_line}"
    assert [line.split() for line in lines if line.startswith("new")] == [
        ["new", "+1", "+1", "9", "+9", "small", small]
    ]


WORKER = Label(7, "worker", 4711)


def test_a_table_for_each_thread_holds_its_own_calls() -> None:
    profile = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=WORKER)])
    first, second = text(profile, per_thread=True).split("Thread worker (7) of process 4711")
    assert f"Thread MainThread ({MAIN.thread_id})" in first
    assert "1 call of 1 function," in first
    assert "2 calls of 1 function," in second


def test_one_thread_can_be_chosen() -> None:
    profile = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=WORKER)])
    assert "2 calls of 1 function," in text(profile, thread="worker")


def test_a_thread_that_was_not_there_earlier_compares_as_new() -> None:
    earlier = tree([Node(ROOT, "work", 1)])
    later = tree([Node(ROOT, "work", 1), Node(ROOT, "work", 2, label=WORKER)])
    assert "1 new, 0 gone, 0 more, 0 less" in text(later, earlier, thread="worker")


@pytest.mark.parametrize("options", [{"view": View.CALLERS}, {"per_thread": True}])
def test_a_comparison_is_by_function_only(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="by function"):
        text(PROFILE, PROFILE, **options)


def test_an_empty_profile_has_an_empty_table() -> None:
    assert "0 calls of 0 functions, 0 s" in text(tree([]))
    assert "(no functions)" in text(tree([]))


def test_hostile_names_neither_leave_their_line_nor_their_column() -> None:
    names = ["a\x1b[2J\nb\u202e\udcff", "度" * 30, "e\u0301" * 30, "x" * 5_000, "日本語\U0001f40d", "plain"]
    nodes = [
        Node(ROOT, Function(name, f"{name}.q", f"/srv/{name}/\r\x9b.py", line), line) for line, name in enumerate(names)
    ]
    for width in (60, 80, 100, 200):
        title, *lines = text(tree(nodes), layout=Layout(width, has_header=False)).splitlines()
        assert len(lines) == len(names)
        assert all("\n".join(lines).replace("\n", "").isprintable() and columns(line) <= width for line in lines)
        # The columns of figures end where their titles do, and names begin below theirs.
        start = title.index("function")
        assert {line[start - 2 : start] for line in lines} == {"  "}
        starts = {columns(line[: line.rindex("  ")]) + 2 for line in lines}
        assert starts == {title.index("where")}


def columns(line: str) -> int:
    """How many columns of a terminal a line takes, by the tables of Unicode."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in line)
    return len(line) + wide - sum(unicodedata.category(letter) == "Mn" for letter in line)


@given(st.text(st.characters(codec="utf-8", exclude_categories=("C",))), st.integers(12, 60))
def test_a_path_is_shortened_in_its_middle_to_what_fits(path: str, width: int) -> None:
    shown = short_path(path, width, "…")
    assert width_of(shown) <= width
    assert shown == path or ("…" in shown and width_of(path) > width)


def test_a_shortened_path_keeps_its_first_and_its_last_directories() -> None:
    path = "/usr/lib/python3.11/site-packages/django/db/models/query.py:123"
    assert short_path(path, 40, "…") == "/usr/…/django/db/models/query.py:123"
    assert short_path(path, 22, "…") == "/usr/…/query.py:123"
    assert short_path(path, 15, "…") == "…/query.py:123"


def test_colours_and_letters_are_as_asked() -> None:
    plain = text(PROFILE)
    colored = text(PROFILE, layout=Layout(has_color=True))
    assert re.sub("\x1b\\[[0-9;]+m", "", colored) == plain
    assert all(line.count("\x1b") % 2 == 0 for line in colored.splitlines())
    assert text(PROFILE, layout=Layout(is_ascii=True)).isascii()
    assert not plain.isascii()


def test_nothing_is_shortened_where_the_report_is_wide() -> None:
    name, file = "n" * 200, f"/srv/{'long/' * 60}app.py"
    profile = tree([Node(ROOT, Function(name, name, file, 7))], command_line=("python3", "x" * 300))
    wide = text(profile, layout=WIDE)
    assert all(one in wide for one in (name, f"{file}:7", "x" * 300))
    assert max(map(len, text(profile).splitlines())) <= 100


@pytest.mark.parametrize(("columns", "width"), [(0, 100), (1, 60), (80, 80), (5_000_000, 1000)])
def test_a_width_is_one_that_a_report_can_have(columns: int, width: int) -> None:
    assert layout_of_width(columns) == width


@pytest.mark.parametrize("name", ["x; rm -rf ~", "$(id)", "-x", "a b", "(", "é"])
def test_only_a_name_that_a_shell_takes_as_it_is_stands_in_a_command(name: str) -> None:
    hostile = Function(name, name, f"/srv/{name}.py", 1)
    profile = tree([Node(ROOT, hostile, 1, 9), Node(ROOT, "safe", 1, 5)], profile="p1")
    assert text(profile).splitlines()[-1] == "next: execctl report p1 --callers --limit safe"
    assert "next:" not in text(tree([Node(ROOT, hostile, 1, 9)], profile="p1"))
    assert "next:" not in text(profile, layout=TABLE)


def test_the_export_loads_with_the_figures_of_cprofile(tmp_path: Path) -> None:
    profile = tree([Node(ROOT, "fib", 1, 2_000), Node(0, "fib", 2, 1_000), Node(0, "<built-in method m.f>", 4)])
    stats = marshal.loads(render(profile, "pstats", ReportOptions()))  # noqa: S302 -- our own bytes
    fib = ("/srv/app.py", function("fib").first_line, "fib")
    assert stats[fib] == (1, 3, 3e-06, 3e-06, {fib: (2, 2, 1e-06, 1e-06)})
    assert stats["~", 0, "<built-in method m.f>"] == (4, 4, 0.0, 0.0, {fib: (4, 4, 0.0, 0.0)})
    (tmp_path / "stats").write_bytes(render(profile, "pstats", ReportOptions()))
    assert pstats.Stats(str(tmp_path / "stats")).total_calls == 7  # type: ignore[attr-defined]


def test_an_empty_pstats_file_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing was recorded"):
        render(tree([]), "pstats", ReportOptions())


@pytest.mark.parametrize(
    ("name", "width", "shown"),
    [
        ("short", 60, "next: execctl report p1 --callers --limit short"),
        ("n" * 40, 60, "next: execctl report p1 --callers"),
        ("n" * 40, 100, f"next: execctl report p1 --callers --limit {'n' * 40}"),
        ("n" * 40, 0, f"next: execctl report p1 --callers --limit {'n' * 40}"),
    ],
)
def test_the_next_command_is_no_wider_than_the_report(name: str, width: int, shown: str) -> None:
    report = text(tree([Node(ROOT, name, 1, 9)], profile="p1"), layout=Layout(width))
    assert report.splitlines()[-1] == shown
    assert not width or width_of(shown) <= width


def test_a_command_of_which_nothing_is_left_is_not_shown() -> None:
    assert closing(Layout(60), f"execctl report p1 --file /{'long/' * 20}a.py") == []
