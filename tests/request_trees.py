"""The call tree of a web server: long paths, recursion, threads that wait, and ten thousand functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from call_trees import MAIN, Node, tree
from execd.model.profile import ROOT, Function, Label

if TYPE_CHECKING:
    from execd.model.profile import Profile

LIBRARY = "/usr/lib/python3.11"
PACKAGES = "/srv/shop/releases/20261120-1750/venv/lib/python3.11/site-packages"
PAGES = "/srv/shop/releases/20261120-1750/shop/templates/compiled"
WORKERS = 3
PAGE_COUNT = 9_988


def a_function(qualname: str, file: str, line: int) -> Function:
    """Return a function by its qualified name."""
    return Function(qualname.rpartition(".")[2], qualname, file, line)


BOOTSTRAP = a_function("Thread._bootstrap", f"{LIBRARY}/threading.py", 988)
WORKER = a_function("_worker", f"{LIBRARY}/concurrent/futures/thread.py", 69)
GET = Function("<method 'get' of '_queue.SimpleQueue' objects>", "get", "~", 0)
HANDLE = a_function("ThreadWorker.handle_request", f"{PACKAGES}/gunicorn/workers/gthread.py", 750)
VIEW = a_function("BaseHandler.get_response", f"{PACKAGES}/django/core/handlers/base.py", 136)
MENU = a_function("menu.<locals>.walk_children", "/srv/shop/releases/20261120-1750/shop/navigation/menus.py", 41)
QUERY = a_function("SQLCompiler.execute_sql", f"{PACKAGES}/django/db/models/sql/compiler.py", 1523)
EXECUTE = Function("<method 'execute' of 'psycopg.Cursor' objects>", "execute", "~", 0)
LOWER = Function("<method 'lower' of 'str' objects>", "lower", "~", 0)
RUN = a_function("Arbiter.run", f"{PACKAGES}/gunicorn/arbiter.py", 241)
POLL = Function("<built-in method select.poll>", "poll", "~", 0)


def web_server() -> Profile:
    """Return what such a server did in ten seconds."""
    nodes = [Node(ROOT, RUN, 0, 1_250_000, open=1), Node(0, POLL, 10, 9_998_750_000)]
    for number in range(WORKERS):
        label = Label(140_000_000_100 + number, f"ThreadPoolExecutor-0_{number}", MAIN.pid)
        top = len(nodes)
        nodes += [
            Node(ROOT, BOOTSTRAP, 0, 12_000, open=1, label=label),
            Node(top, WORKER, 0, 41_000_000 + number, open=1, label=label),
            Node(top + 1, GET, 1_200 + number, 5_100_000_000 - number * 70_000_000, label=label),
            Node(top + 1, HANDLE, 1_200, 96_400_000, label=label),
            Node(top + 3, VIEW, 1_200, 181_000_000, label=label),
            Node(top + 4, MENU, 1_200, 610_000_000, label=label),
            Node(top + 5, MENU, 96_000, 1_730_000_000, label=label),
            Node(top + 6, LOWER, 1_152_000, 402_300_000, label=label),
            Node(top + 4, QUERY, 8_400, 77_000_000, label=label),
            Node(top + 8, EXECUTE, 8_400, 1_560_000_000, label=label),
        ]
    view = len(nodes) - 6
    for page in range(PAGE_COUNT):
        function = a_function(f"root.<locals>.block_{page:05}", f"{PAGES}/page_{page:05}.py", 7)
        nodes.append(Node(view, function, 3, 12_000 + 7 * (PAGE_COUNT - page), label=nodes[view].label))
    command = ("/srv/shop/releases/20261120-1750/venv/bin/python3.11", "-m", "gunicorn", "--config=gunicorn.conf.py")
    return tree(
        nodes,
        command_line=(*command, "--bind=127.0.0.1:8000", "shop.wsgi:application"),
        lost={"calls of frames deeper than 512": 1_204},
        caveats=("covers the time since the attach; functions open then carry no call of their own",),
        profile="p34",
    )
