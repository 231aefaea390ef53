"""The line of every instruction of a dozen modules, as the interpreter itself gives it, and the tables that say so."""

import base64
import dis
import importlib
import types

import measuring

MODULES = (
    *("argparse", "ast", "calendar", "collections", "contextlib", "dataclasses", "functools", "inspect"),
    *("json.decoder", "textwrap", "types", "typing"),
)
SYNTHETIC = (
    "\n" * 70000 + "x = (\n1,\n" + "\n" * 300 + "[y for y in z])\n",
    "def f(a):\n  for b in a:\n    with b as c, c as d:\n      yield (c +\n\n\n  d)\n  else:\n    raise\n",
    "x = [" + "\n-a," * 400 + "]\ntry:\n  x\nfinally:\n  y\n",
)
HAS_LINES = hasattr(types.CodeType, "co_lines")


def codes_of(module):
    """A module's code objects, of its own source."""
    with open(module.__file__, encoding="utf-8") as file:
        return within(compile(file.read(), module.__file__, "exec", dont_inherit=True))


def within(code):
    """A code object and those inside of it."""
    found = [code]
    for one in found:
        found += [constant for constant in one.co_consts if isinstance(constant, types.CodeType)]
    return found


def ranges(code):
    """The ranges of its instructions, [start, end, line or None]."""
    if HAS_LINES:
        return [[start, end, line] for start, end, line in code.co_lines() if start != end]
    starts = list(dis.findlinestarts(code))
    ends = [start for start, _ in starts[1:]] + [len(code.co_code)]
    return [[start, end, line] for (start, line), end in zip(starts, ends) if start != end]  # noqa: B905 -- not in 3.9


def tables():
    """Of each code object: its table, first line, length, and ranges."""
    codes = [code for name in MODULES for code in codes_of(importlib.import_module(name))]
    codes += [code for text in SYNTHETIC for code in within(compile(text, "made.py", "exec"))]
    found = []
    for code in codes:
        table = code.co_linetable if HAS_LINES else code.co_lnotab
        packed = base64.b64encode(table).decode("ascii")
        found.append([packed, code.co_firstlineno, len(code.co_code), ranges(code)])
    return found


if __name__ == "__main__":
    measuring.serve({"tables": tables})
