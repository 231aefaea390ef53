"""Exports of lines, held against who reads them: coverage.py, genhtml, Cobertura's DTD."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING, Any

import pytest
from coverage import Coverage, CoverageData
from coverage.numbits import numbits_to_nums
from execd.errors import UsageError
from execd.reports import render
from execd.reports.lines.coverage_data import CONTEXT, numbits
from line_profiles import Sources, line_profile

if TYPE_CHECKING:
    from pathlib import Path

    from execd.model.profile import Profile

TEXT = b'''"""Doc."""
import os


def ran(x):
    """Doc."""
    if x:
        return (1 +
                2)
    return 3


def did_not():
    return [
        4,
    ]


class Holder:
    value = ran(1)

    def method(self):
        return did_not()
'''
# Cobertura's coverage-04.dtd: of each element its children, as a pattern, and the attributes that it must have.
RATES = {"line-rate", "branch-rate", "complexity"}
DTD: dict[str, tuple[str, set[str]]] = {
    "coverage": (
        "(sources )?packages ",
        RATES | {"lines-covered", "lines-valid", "branches-covered", "branches-valid", "version", "timestamp"},
    ),
    "sources": ("(source )*", set()),
    "source": ("", set()),
    "packages": ("(package )*", set()),
    "package": ("classes ", RATES | {"name"}),
    "classes": ("(class )*", set()),
    "class": ("methods lines ", RATES | {"name", "filename"}),
    "methods": ("(method )*", set()),
    "lines": ("(line )*", set()),
    "line": ("(conditions )*", {"number", "hits"}),
}


class Work:
    """A module that ran, once under coverage.py and once in a profile of ours with the same lines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "work.py"
        self.path.write_bytes(TEXT)
        measured = Coverage(data_file=str(folder / "theirs"), include=[str(self.path)], config_file=False)
        measured.start()
        try:
            exec(compile(TEXT, str(self.path), "exec"), {"__name__": "work"})  # noqa: S102 - it is measured
        finally:
            measured.stop()
        measured.save()
        self.ran = sorted(measured.get_data().lines(str(self.path)) or [])
        _, statements, _, missing, _ = measured.analysis2(str(self.path))
        self.statements, self.missing = statements, missing
        self.sources = Sources()

    def profile(self, **fields: Any) -> Profile:
        """Return the profile."""
        known = self.sources.add(self.path, TEXT, self.statements)
        counts = {(str(self.path), line): 3 for line in self.ran}
        return line_profile(counts, files=[known], search_path=[str(self.folder)], **fields)

    def render(self, form: str, **fields: Any) -> bytes:
        """Return an export."""
        return render(self.profile(**fields), form, self.sources.options())


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path)


def coverage_command(work: Work, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "coverage", *arguments],
        cwd=work.folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("collector", ["lines", "cover"])
def test_coverage_py_reports_the_totals_that_it_has_itself(work: Work, collector: str) -> None:
    (work.folder / "ours").write_bytes(work.render("coverage", collector=collector))
    totals = []
    for name in ("ours", "theirs"):
        coverage_command(work, "json", f"--data-file={name}", "-o", f"{name}.json")
        report = json.loads((work.folder / f"{name}.json").read_text())
        totals.append((report["totals"], report["files"]["work.py"]["missing_lines"]))
    assert totals[0] == totals[1]
    assert totals[0][1]


def test_coverage_py_takes_the_data_in_every_report_and_combines_it(work: Work) -> None:
    (work.folder / "ours").write_bytes(work.render("coverage"))
    assert "work.py" in coverage_command(work, "report", "--data-file=ours")
    coverage_command(work, "html", "--data-file=ours", "--show-contexts", "-d", "html")
    assert CONTEXT in (work.folder / "html/work_py.html").read_text()
    coverage_command(work, "xml", "--data-file=ours", "-o", "ours.xml")
    coverage_command(work, "combine", "--keep", "--data-file=both", "ours", "theirs")
    both = CoverageData(str(work.folder / "both"))
    both.read()
    assert sorted(both.lines(str(work.path)) or []) == work.ran


def test_the_bits_are_those_of_coverage_py(work: Work) -> None:
    lines = [1, 7, 8, 9, 1000]
    assert numbits_to_nums(numbits(lines)) == lines
    database = sqlite3.connect(":memory:")
    database.deserialize(work.render("coverage"))
    assert database.execute("SELECT version FROM coverage_schema").fetchall() == [(7,)]
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_what_coverage_py_cannot_hold_is_a_usage_error() -> None:
    for path, line in (("/srv/\udcff.py", 1), ("/srv/app.py", 1 << 30)):
        with pytest.raises(UsageError, match=r"coverage.py's file"):
            render(line_profile({(path, line): 1}), "coverage", Sources().options())


def test_the_tracefile_of_lcov_has_every_line_that_can_run(work: Work) -> None:
    records = work.render("lcov").decode().splitlines()
    assert records[:2] == ["TN:", f"SF:{work.path}"]
    hits = dict(map(int, line.removeprefix("DA:").split(",")) for line in records if line.startswith("DA:"))
    assert hits == {line: 3 if line in work.ran else 0 for line in {*work.statements, *work.ran}}
    assert records[-3:] == [f"LF:{len(hits)}", f"LH:{len(work.ran)}", "end_of_record"]


@pytest.mark.skipif(shutil.which("genhtml") is None, reason="genhtml of LCOV is not installed")
def test_genhtml_takes_the_tracefile(work: Work) -> None:
    (work.folder / "lcov.info").write_bytes(work.render("lcov"))
    done = subprocess.run(
        ["genhtml", "lcov.info", "-o", "html"], cwd=work.folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (work.folder / "html/index.html").exists()


def test_cobertura_s_document_is_by_its_dtd(work: Work) -> None:
    document = work.render("cobertura")
    assert b'"http://cobertura.sourceforge.net/xml/coverage-04.dtd"' in document
    root = ET.fromstring(document)  # noqa: S314 - our own
    for element in root.iter():
        children, attributes = DTD[element.tag]
        assert re.fullmatch(children, "".join(f"{child.tag} " for child in element)), element.tag
        assert attributes <= set(element.attrib)
    assert {element.tag for element in root.iter()} == set(DTD)
    assert root.find("sources/source").text == str(work.folder)  # type: ignore[union-attr]
    assert root.find(".//class").get("filename") == "work.py"  # type: ignore[union-attr]
    missed = {int(line.attrib["number"]) for line in root.iter("line") if line.attrib["hits"] == "0"}
    assert missed == set(work.missing)


def test_names_that_xml_forbids_are_written_so_that_it_holds_them() -> None:
    path = '/srv/<a>&"\x01\udcff\ufffe.py'
    document = render(line_profile({(path, 1): 1}), "cobertura", Sources().options())
    assert ET.fromstring(document).find(".//class").get("filename", "").startswith('srv/<a>&"\\x01')  # type: ignore[union-attr]  # noqa: S314 - our own
