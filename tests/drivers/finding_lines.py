"""Says which lines of files can run: by pieces as the daemon sends them, and as the standard library's trace has it.

It reads one JSON object a line, {"path", "pieces": [[source, first line, from line], ...]}, and prints one for each.
"""

import importlib
import json
import os
import sys
import trace

sys.path.insert(0, os.path.join(os.path.dirname(__file__), *[os.pardir] * 2, "inprocess"))

executable_lines = importlib.import_module("execd_agent.collectors.linetables").executable_lines


def by_trace(path):
    """What trace's listing marks where it was not hit."""
    return sorted(line for line in trace._find_executable_linenos(path) if line)


def by_pieces(path, pieces):
    """What the agent finds, and the functions with it."""
    lines, functions = set(), set()
    for source, first_line, from_line in pieces:
        found = executable_lines(source, first_line, path)
        lines.update(line for line in found["lines"] if line >= from_line)
        functions.update((name, line) for name, line in found["functions"])
    return sorted(lines), sorted(functions)


def main():
    """Answers until stdin ends."""
    for text in sys.stdin:
        asked = json.loads(text)
        lines, functions = by_pieces(asked["path"], asked["pieces"])
        answer = {"lines": lines, "functions": functions, "trace": by_trace(asked["path"])}
        sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
