"""Functions and files whose names are hostile to terminals, files and formats.

Known: "run N" calls each function N times and answers [file, line, name, N] for each; the file names and
function names hold escape sequences, line breaks, right-to-left marks, lone surrogates, markup, separators of
formats, nothing at all, or 3,000 characters. One thread, which reads the commands.
"""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import line_protocol

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x1b[31m",
    "two\nlines\r\ttab",
    "\u202egnp.exe\u202c\u2066\u200f",
    "\udcff\ud800",
    "<script>alert(1)</script>&amp;\"'",
    "a;b|c,d=e:f%s{0}\\n",
    "../../etc/passwd",
    "nul\x00byte",
    "",
    "x" * 3000,
)

SOURCE = "def plain():\n    return 1\n"


def hostile_function(name):
    """A function that has the name as its own, its qualified name, and as part of its file's."""
    scope = {}
    exec(compile(SOURCE, "plain.py", "exec"), scope)  # noqa: S102 -- our own constant text
    function = scope["plain"]
    renamed = {"co_name": name, "co_filename": f"/srv/{name}.py"}
    if hasattr(function.__code__, "co_qualname"):
        renamed["co_qualname"] = "Class." + name
    function.__code__ = function.__code__.replace(**renamed)
    return function


def call_all(functions, times):
    """Calls each so many times, and says which they were."""
    for function in functions:
        for _ in range(times):
            function()
    return [
        [code.co_filename, code.co_firstlineno, code.co_name, times]
        for code in (function.__code__ for function in functions)
    ]


def main():
    """Ends with stdin."""
    functions = [hostile_function(name) for name in HOSTILE]
    line_protocol.ready()
    line_protocol.serve({"run": lambda times: call_all(functions, times), "state": line_protocol.state})


if __name__ == "__main__":
    main()
