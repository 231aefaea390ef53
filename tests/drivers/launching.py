"""The names of launch.py, without the launch."""

import ast
import importlib
import os

LAUNCH = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../inprocess/execd_agent/launch.py")


def definitions():
    """All that it defines."""
    with open(LAUNCH, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    tree.body = [node for node in tree.body if not isinstance(node, ast.Expr)]
    names = {"frozen": vars(importlib._bootstrap), "settings": {}, "bootstrap": ""}
    exec(compile(tree, LAUNCH, "exec", dont_inherit=True), names)  # noqa: S102 - as the injected text does
    return names
