"""What the agent makes of sources and of names to ignore, beside what the standard library's trace makes of them."""

import os
import sys
import trace
import types

import measuring
import tracked
from execd_agent.collectors import linetables
from execd_agent.collectors.lines import Lines
from execd_agent.collectors.selection import Selection

FILES = ("/srv/app/utils.py", "/srv/lib/pkg/utils.py", "/srv/lib/pkg/core.py", "/srv/library.py", "/srv/lib/.hidden")
RULES = (
    {},
    {"ignore_modules": ["utils"]},
    {"ignore_modules": ["util", "cor"]},
    {"ignore_dirs": ["/srv/lib"]},
    {"ignore_dirs": ["/srv//app/../lib/", "/nowhere"]},
    {"ignore_dirs": [os.path.dirname(os.__file__)]},
    {"ignore_modules": ["library", ".hidden"], "ignore_dirs": ["/srv/app"]},
)


def sources():
    """The lines of this version's own modules, ours and trace's with what it takes for docstrings put back."""
    found = []
    for module in (trace, tracked, types, os):
        path = module.__file__
        with open(path, encoding="utf-8") as file:
            text = file.read()
        wanted = trace._find_lines(compile(text, path, "exec"), {})
        ours = linetables.executable_lines(text, 1, path)
        found.append([path, sorted(line for line in wanted if line), ours["lines"], len(ours["functions"])])
    return found


def nested():
    """What becomes of a text that is too deep, and of a wrong one, by the error's name: theirs, or a refusal."""

    def error_of(text):
        try:
            linetables.executable_lines(text, 1, "/srv/nested.py")
        except Exception as error:  # noqa: BLE001 - it is what is asked for
            return type(error).__name__
        return ""

    return [error_of("x = " + "-" * 30000 + "1\n"), error_of("x = \n")]


def verdicts():
    """Whether each file is ignored by each rule: by trace, asked anew for each, and by us."""
    frame_code = compile("frame = sys._getframe()", "made.py", "exec")
    found = []
    for rule in RULES:
        for path in (*FILES, os.__file__):
            oracle = trace._Ignore(rule.get("ignore_modules"), rule.get("ignore_dirs"))
            namespace = {"__file__": path, "__name__": trace._modname(path), "sys": sys}
            exec(frame_code, namespace)  # noqa: S102 - a frame with such a namespace
            ours = not Selection(rule).wants(frame_code, namespace["frame"])
            found.append([path, bool(oracle.names(path, trace._modname(path))), ours])
    return found


def packages():
    """What trace gets wrong: two files of one name, a package's modules. Each is whether it is ignored."""
    code = compile("frame = sys._getframe()", "made.py", "exec")

    def ignored(selection, path, name):
        namespace = {"__file__": path, "__name__": name, "sys": sys}
        exec(code, namespace)  # noqa: S102 - as above
        return not selection.wants(code, namespace["frame"])

    by_dir, by_name = Selection({"ignore_dirs": ["/srv/lib"]}), Selection({"ignore_modules": ["pkg"]})
    return [
        ignored(by_dir, "/srv/lib/utils.py", "utils"),
        ignored(by_dir, "/srv/app/utils.py", "app.utils"),
        ignored(by_name, "/srv/lib/pkg/core.py", "pkg.core"),
        ignored(by_name, "/srv/lib/pkg/__init__.py", "pkg"),
        ignored(by_name, "/srv/lib/pkgs/core.py", "pkgs.core"),
    ]


def over_the_limit(max_memory_bytes):
    """Lines with room for some alone."""
    agent = measuring.Agent(Lines({"max_memory_bytes": max_memory_bytes}))
    agent.start()
    tracked.run()
    agent.stop()
    return agent.result(memory_bytes=agent.collector.memory_bytes)


def traced_by_the_program():
    """The program has a trace function of its own: it hears what it hears without us, and stays."""
    heard = []

    def listen(frame, _event, _argument):
        heard.append(frame.f_code.co_name)

    agent = measuring.Agent(Lines({}))
    sys.settrace(listen)
    agent.start()
    tracked.recursion()
    agent.stop()
    kept = sys.gettrace() is listen
    sys.settrace(None)
    return {**agent.refusal(), "kept": kept, "heard": heard.count("recursion")}


if __name__ == "__main__":
    measuring.serve(
        {
            "sources": sources,
            "nested": nested,
            "verdicts": verdicts,
            "packages": packages,
            "over_the_limit": over_the_limit,
            "traced_by_the_program": traced_by_the_program,
        }
    )
