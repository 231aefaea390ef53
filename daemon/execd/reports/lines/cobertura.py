"""Cobertura's XML, by its DTD coverage-04: what continuous integration reads."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from execd.model.lines.names import folder_of, search_path
from execd.reports.escape import visible
from execd.reports.lines.files import reported
from execd.reports.lines.lcov import line_hits

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execd.model.profile import Profile
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions

_HEAD = (
    '<?xml version="1.0" ?>',
    '<!DOCTYPE coverage SYSTEM "http://cobertura.sourceforge.net/xml/coverage-04.dtd">',
)
_Hits = list[tuple[int, int]]


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the document. Raises UsageError where a setting does not fit."""
    folders = search_path(profile)
    files = {file.path: (file, line_hits(file)) for file in reported(profile, options)}
    packages: defaultdict[str, list[str]] = defaultdict(list)
    for path, (file, _) in files.items():
        packages[file.module.rpartition(".")[0]].append(path)
    hits = [one for _, lines in files.values() for one in lines]
    covered = sum(1 for _, count in hits if count)
    facts = {
        **_rates(hits),
        "lines-covered": covered,
        "lines-valid": len(hits),
        "branches-covered": 0,
        "branches-valid": 0,
        "version": "execd",
        "timestamp": int(profile.header.ended_at * 1000),
    }
    lines = [*_HEAD, _tag("coverage", facts), "<sources>"]
    lines += [_tag_text("source", one) for one in sorted({folder_of(path, folders) or "/" for path in files})]
    lines += ["</sources>", "<packages>"]
    for name, paths in sorted(packages.items()):
        lines += _package(name, [files[path] for path in paths], folders)
    return "\n".join([*lines, "</packages>", "</coverage>", ""]).encode()


def _package(name: str, files: Sequence[tuple[ReportedFile, _Hits]], folders: Sequence[str]) -> list[str]:
    hits = [one for _, lines in files for one in lines]
    lines = [_tag("package", {"name": name or ".", **_rates(hits)}), "<classes>"]
    for file, own in files:
        relative = file.path.removeprefix(folder_of(file.path, folders)).lstrip("/")
        facts = {"name": file.module.rpartition(".")[2], "filename": relative, **_rates(own)}
        lines += [_tag("class", facts), "<methods/>", "<lines>"]
        lines += [f'<line number="{line}" hits="{count}"/>' for line, count in own]
        lines += ["</lines>", "</class>"]
    return [*lines, "</classes>", "</package>"]


def _rates(hits: Sequence[tuple[int, int]]) -> dict[str, object]:
    share = sum(1 for _, count in hits if count) / len(hits) if hits else 1.0
    return {"line-rate": f"{share:.4g}", "branch-rate": "0", "complexity": "0"}


def _tag(name: str, facts: dict[str, object]) -> str:
    # What does not print is no character of XML.
    attributes = " ".join(f"{key}={quoteattr(visible(str(value)))}" for key, value in facts.items())
    return f"<{name} {attributes}>"


def _tag_text(name: str, text: str) -> str:
    return f"<{name}>{escape(visible(text))}</{name}>"
