"""The JSON report on lines.

Schema 1, an object in ASCII with these fields:

    schema      1
    report      "lines" or "lines_change"
    profile     what is reported, as in the report on functions (document.py)
    totals      lines (that can run, in the files of the profile), hit (those that ran), hits (how often, in all)
    files       by path, each: path, module, digest (SHA-256 of the source; empty where it was not stored), problem
                (empty where there is none), lines and hit as in totals, hits: a list of [line, how often], missed: the
                lines that can run and did not

A change has instead of totals and files:

    earlier     the header of the earlier profile
    per_second  whether hits are per second; else they are plain counts, of one session or of files
    changes     new, gone, more, less, each: kind, file, line, text (null where there is none), earlier, later, delta
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from execd.model.lines.change import compare_lines
from execd.reports.document import encoded, head
from execd.reports.lines.comparison import Texts, shown_changes
from execd.reports.lines.files import reported

if TYPE_CHECKING:
    from execd.model.lines.change import LineChange
    from execd.model.profile import Profile
    from execd.reports.lines.files import ReportedFile
    from execd.reports.options import ReportOptions


def render(profile: Profile, options: ReportOptions) -> bytes:
    """Return the report as a JSON document. Raises UsageError where a setting does not fit."""
    files = [_file(file) for file in reported(profile, options)]
    totals = {name: sum(file[name] for file in files) for name in ("lines", "hit")}
    totals["hits"] = sum(count for file in files for _, count in file["hits"])
    return encoded({**head("lines", profile.header), "totals": totals, "files": files})


def render_change(earlier: Profile, later: Profile, options: ReportOptions) -> bytes:
    """Return the comparison as a JSON document. Raises UsageError where the profiles cannot be compared."""
    comparison = compare_lines(earlier, later)
    texts = Texts(earlier, later, options)
    changes = shown_changes(comparison.changes, earlier, later, options)
    return encoded(
        {
            **head("lines", later.header, earlier.header),
            "per_second": comparison.per_second,
            "changes": [_change(change, texts) for change in changes],
        }
    )


def _file(file: ReportedFile) -> dict[str, Any]:
    tally = file.tally()
    missed = (
        [line.number for line in file.listing() if line.hits == 0]
        if file.text is not None
        else sorted(set(file.runnable) - set(file.hits))
    )
    return {
        "path": file.path,
        "module": file.module,
        "digest": file.digest,
        "problem": file.problem,
        "lines": tally.lines,
        "hit": tally.hit,
        "hits": [[line, file.hits[line]] for line in sorted(file.hits)],
        "missed": missed,
    }


def _change(change: LineChange, texts: Texts) -> dict[str, Any]:
    text = texts.line(change.path, change.line)
    return {
        "kind": change.kind.value,
        "file": change.path,
        "line": change.line,
        "text": None if text is None else text.rstrip("\r\n"),
        "earlier": change.earlier,
        "later": change.later,
        "delta": change.delta,
    }
