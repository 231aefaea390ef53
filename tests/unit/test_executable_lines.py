"""Lines that can run, found piece by piece by each version's own compiler: those of `trace` for the whole file."""

from __future__ import annotations

import json
import random
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from execd.errors import UsageError
from execd.model.lines import pieces as executable_pieces
from execd.model.lines.executable import executable_lines, nothing_known
from execd.model.lines.pieces import MAX_PIECE_CHARS, MAX_TEXT_CHARS, MAX_WHOLE_CHARS, PIECE_CHARS, outline, whole
from execd.model.lines.text import read_text

if TYPE_CHECKING:
    from agent_drivers import Drivers
    from interpreters import Interpreter

VERSION = (3, 11)
# Broken on purpose.
BROKEN = ("bad", "lib2to3/tests/data", "tokenizedata", "encoded_modules")
# Compiled as one statement, which is too long.
TOO_LONG = ("topics.py",)
MANY, SOME = 150, 8
SAMPLE = '''"""Doc
of two lines."""
from __future__ import annotations
import os


@staticmethod
def first():
    """Doc."""
    return 1


if os:
    x = 1
else:
    x = 2

try:
    pass
finally:
    x = 3
'''


def standard_library(interpreter: Interpreter, count: int) -> list[Path]:
    """Files of an interpreter's standard library, at random but always the same."""
    folder = subprocess.run(
        [*interpreter.argv, "-c", "import os; print(os.path.dirname(os.__file__))"],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    ).stdout.strip()
    root = Path(f"{interpreter.root}{folder}")
    # To look through all folders takes seconds.
    pattern = "**/*.py" if count == MANY else "*.py"
    files = sorted(path for path in root.glob(pattern) if "site-packages" not in path.parts and not path.is_symlink())
    sound = [path for path in files if not any(word in str(path.relative_to(root)) for word in (*BROKEN, *TOO_LONG))]
    return random.Random(1).sample(sound, count)  # noqa: S311 - the same at every run


def asked_of_driver(drivers: Drivers, interpreter: Interpreter, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    done = subprocess.run(
        [*drivers.command(interpreter, "finding_lines", [])],
        input="".join(json.dumps(one) + "\n" for one in asked),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize("count", [SOME, pytest.param(MANY, marks=pytest.mark.soak)])
def test_the_lines_of_the_pieces_are_those_that_trace_finds_in_the_file(
    drivers: Drivers, interpreter: Interpreter, count: int
) -> None:
    asked, strings = [], []
    for path in standard_library(interpreter, count):
        plan = outline(read_text(path.read_bytes()).lines, interpreter.version_info)
        pieces = [[piece.source, piece.first_line, piece.from_line] for piece in plan.pieces]
        asked.append({"path": str(path).removeprefix(interpreter.root), "pieces": pieces})
        strings.append(plan.strings)
    answers = asked_of_driver(drivers, interpreter, asked)
    assert sum(len(one["pieces"]) for one in asked) > count
    for one, answer, left_out in zip(asked, answers, strings, strict=True):
        found = executable_lines(answer["lines"], left_out, map(tuple, answer["functions"]))
        difference = set(answer["trace"]) ^ set(found.counted())
        # 3.9 does not fold constants behind 255 others to the same line: they keep one that a piece loses.
        assert len(difference) <= (2 if interpreter.version == "3.9" else 0), (one["path"], sorted(difference))
        assert not found.mismatch([(name, line) for name, line in answer["functions"]], answer["lines"])


def test_docstrings_do_not_count_and_decorators_and_clauses_stay_with_their_statement() -> None:
    plan = outline(SAMPLE.splitlines(keepends=True), VERSION)
    assert sorted(plan.strings) == [1, 2, 9]
    assert [piece.source for piece in plan.pieces] == [SAMPLE]


def test_long_texts_come_in_pieces_that_begin_with_a_statement_and_have_the_future_of_the_file() -> None:
    filler = f"y = {'1 + ' * 200}1\n"
    text = SAMPLE + (filler * 5 + "@print\ndef f(): pass\n'a string'\nif y:\n    y = 1\nelse:\n    y = 2\n") * 40
    lines = text.splitlines(keepends=True)
    plan = outline(lines, VERSION)
    assert len(plan.pieces) == -(-len(text) // PIECE_CHARS)
    assert [piece.first_line for piece in plan.pieces[1:]] == [piece.from_line - 1 for piece in plan.pieces[1:]]
    for piece in plan.pieces[1:]:
        future, first, *_ = piece.source.splitlines(keepends=True)
        assert future == "from __future__ import annotations\n"
        assert first == lines[piece.from_line - 1]
        assert not first.startswith(("else", "'", "def", " "))
        compile(piece.source, "piece", "exec")
    own = [piece.source.partition("\n")[2] if piece.first_line > 1 else piece.source for piece in plan.pieces]
    assert "".join(own) == text


def test_a_formatted_string_is_a_docstring_for_trace_until_3_11() -> None:
    lines = ["def f(x):\n", "    f'{x}'\n"]
    assert outline(lines, (3, 11)).strings == {2}
    assert outline(lines, (3, 12)).strings == frozenset()


@pytest.mark.parametrize("text", ["", "\n", "# nothing\n"])
def test_a_text_without_a_statement_is_one_piece(text: str) -> None:
    assert [piece.source for piece in outline(text.splitlines(keepends=True), VERSION).pieces] == [text]


def test_a_text_that_is_not_cut_is_compiled_as_a_whole_if_it_is_short() -> None:
    lines = ["x = (\n"] * 10
    assert outline(lines, VERSION).pieces == whole(lines)
    with pytest.raises(UsageError, match="KiB in no pieces"):
        outline(["x = (\n", f"{'a' * MAX_WHOLE_CHARS}\n"], VERSION)


def test_a_statement_that_holds_the_compiler_for_long_is_refused() -> None:
    with pytest.raises(UsageError, match="one statement"):
        outline([f"x = '{'a' * MAX_PIECE_CHARS}'\n"], VERSION)


def test_a_text_that_would_take_the_daemon_minutes_is_refused() -> None:
    with pytest.raises(UsageError, match="MiB"):
        outline(["x\n"] * (MAX_TEXT_CHARS // 2 + 1), VERSION)


@pytest.mark.parametrize("text", ["'" + "\\'" * (1 << 17), '"""' + "a\n" * (1 << 21)])
def test_a_text_made_to_take_the_tokenizer_long_is_given_up(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(executable_pieces, "PATIENCE_S", 0.2)
    with pytest.raises(UsageError, match="too long"):
        outline(text.splitlines(keepends=True), VERSION)


def test_a_text_that_is_not_that_of_the_code_is_told_by_its_functions_and_lines() -> None:
    found = executable_lines([1, 2, 4], [], [("f", 1), ("<module>", 1)])
    assert found.mismatch([("f", 1), ("<module>", 9)], {2: 7}) == ""
    assert "no f in line 2" in found.mismatch([("f", 2)], {2: 7})
    assert "run in line 3" in found.mismatch([("f", 1)], {2: 7, 3: 1})
    assert nothing_known("why").counted() == ()


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"a\r\nb\rc", ("a\n", "b\n", "c\n")),
        (b"\xef\xbb\xbfa\n", ("a\n",)),
        (b"# coding: latin-1\n\xe9\n", ("# coding: latin-1\n", "é\n")),
        (b"a\x0cb\x1c\n", ("a\x0cb\x1c\n",)),
        (b"", ()),
    ],
)
def test_a_text_is_read_as_python_reads_it(data: bytes, lines: tuple[str, ...]) -> None:
    assert read_text(data).lines == lines


@pytest.mark.parametrize(
    "data",
    [b"\xe9\n", b"# coding: nonesuch\n", b"# coding: rot13\n", b"\xef\xbb\xbf# coding: latin-1\n", b"# coding: idna\n"],
)
def test_a_text_in_no_readable_encoding_is_a_usage_error(data: bytes) -> None:
    with pytest.raises(UsageError, match=r"encod|decod"):
        read_text(data)
