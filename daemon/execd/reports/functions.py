"""The functions that were called, in the wording of `trace --listfuncs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from execd.model.change import of_one_session
from execd.model.lines.change import came_and_went
from execd.model.lines.ignore import ignore
from execd.model.lines.names import named
from execd.reports.comparison import compared_with
from execd.reports.document import encoded, head
from execd.reports.escape import visible
from execd.reports.header import header_lines
from execd.reports.lines.settings import line_settings

if TYPE_CHECKING:
    from execd.model.change import Kind
    from execd.model.profile import Profile
    from execd.reports.options import ReportOptions

# File, module, function.
Named = tuple[str, str, str]


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as UTF-8 text. Raises UsageError where a setting does not fit."""
    functions = called(profile, options)
    lines = ["functions called:", *map(_line, functions)] if functions else ["   (no functions)"]
    return "\n".join([*header_lines(profile.header, options.layout), *lines, ""]).encode()


def render_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the functions that came, and of another session those that are missing, as UTF-8 text."""
    changes = _changes(earlier, later, options)
    basis = compared_with(earlier.header, "functions that were not called then")
    lines = header_lines(later.header, options.layout, [basis])
    lines += [f"{kind.value:4} {_line(one)}" for kind, one in changes] or ["   (no functions)"]
    return "\n".join([*lines, ""]).encode()


def render_json(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as JSON: schema, report "called", profile, functions: file, module and name each."""
    functions = [function_json(one) for one in called(profile, options)]
    return encoded({**head("called", profile.header), "functions": functions})


def render_json_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as JSON: report "called_change", earlier, changes: kind and function each."""
    changes = [{"kind": kind.value, **function_json(one)} for kind, one in _changes(earlier, later, options)]
    return encoded({**head("called", later.header, earlier.header), "changes": changes})


def called(profile: Profile, options: ReportOptions) -> list[Named]:
    """Return the functions of a profile in the order of `trace`. Raises UsageError where a setting does not fit."""
    settings = line_settings(options.settings)
    left_out = ignore(profile, settings.ignore_modules, settings.ignore_dirs)
    seen = dict.fromkeys(profile.function_of(node) for node in range(len(profile.parents)))
    names = {named(profile.functions[function]) for function in seen}
    return sorted(one for one in names if not left_out.covers(one[0]))


def function_json(one: Named) -> dict[str, Any]:
    """Return a function as the JSON reports have it."""
    return dict(zip(("file", "module", "name"), one, strict=True))


def _line(one: Named) -> str:
    file, module, name = map(visible, one)
    return f"filename: {file}, modulename: {module}, funcname: {name}"


def _changes(earlier: Profile, later: Profile, options: ReportOptions) -> list[tuple[Kind, Named]]:
    before, after = (dict.fromkeys(called(one, options)) for one in (earlier, later))
    return came_and_went(before, after, of_one_session=of_one_session(earlier.header, later.header))
