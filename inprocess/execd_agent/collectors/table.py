"""What a collector has recorded as a table, as it goes over the wire; see PROTOCOL.md, "the table".

Loaded at the first snapshot, not at the attach: what is compiled there holds up the target. Numbers are packed by
`_struct`, which imports nothing; the array module imports collections.abc at its start (3.10+), by the program's own
`__import__`, from wherever sys.path leads.
"""

from __future__ import annotations

from execd_agent import compat, wire

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any


class Table:
    """Functions, locations, labels, and nodes with a figure a column; a parent comes before its children.

    Args:
        columns: their names.
    """

    def __init__(self, columns: tuple[str, ...]) -> None:
        self.texts: dict[str, int] = {}
        self.functions: dict[object, int] = {}
        self.function_rows: list[int] = []
        self.locations: dict[tuple[int, int], int] = {}
        self.labels: list[dict[str, Any]] = []
        self.columns: dict[str, list[int]] = {name: [] for name in columns}
        self.parents: list[int] = []
        self.node_locations: list[int] = []
        self.node_labels: list[int] = []

    def add(self, parent: int, location: int, label: int, figures: tuple[int, ...]) -> int:
        """Add a node and return its index. `parent` is -1 at the bottom of a stack; a figure for each column."""
        index = len(self.parents)
        self.parents.append(parent)
        self.node_locations.append(location)
        self.node_labels.append(label)
        for column, figure in zip(self.columns.values(), figures):
            column.append(figure)
        return index

    def label(self, thread_id: int = 0, thread_name: str = "", domain: int = 0) -> int:
        """Add a label: the thread that nodes are of, and the domain of tracemalloc's; return its index."""
        self.labels.append({"thread_id": thread_id, "thread_name": thread_name, "domain": domain})
        return len(self.labels) - 1

    def location(self, function: int, line: int = 0) -> int:
        """Return the row of a line of a function; 0 stands for all of it."""
        return self.locations.setdefault((function, line), len(self.locations))

    def code(self, code: CodeType) -> int:
        """Return the row of a code object's function; whoever calls keeps it alive."""
        row = self.functions.get(id(code))
        if row is None:
            qualname = code.co_qualname if compat.HAS_QUALNAME else code.co_name
            row = self.function(id(code), code.co_name, qualname, code.co_filename, code.co_firstlineno)
        return row

    def c_function(self, name: str) -> int:
        """Return the row of a C function, by the name that cProfile prints of it."""
        return self.function(name, name, name, "~", 0)

    def function(self, key: object, name: str, qualname: str, file: str, first_line: int) -> int:
        """Return the row of what `key` stands for, made of the rest where it has none yet."""
        row = self.functions.get(key)
        if row is None:
            row = self.functions[key] = len(self.functions)
            self.function_rows.extend((self.text(name), self.text(qualname), self.text(file), first_line))
        return row

    def text(self, text: str) -> int:
        """Return the number of a text."""
        return self.texts.setdefault(text, len(self.texts))

    def encode(self, header: dict[str, Any]) -> bytes:
        """Return the bulk payload."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in self.texts]
        arrays = [
            ("text_bytes", "u1", b"".join(encoded)),
            ("text_lengths", "i4", _packed("i", [len(text) for text in encoded])),
            ("functions", "i4", _packed("i", self.function_rows)),
            ("locations", "i4", _packed("i", [word for row in self.locations for word in row])),
            ("parents", "i4", _packed("i", self.parents)),
            ("node_locations", "i4", _packed("i", self.node_locations)),
            ("node_labels", "i4", _packed("i", self.node_labels)),
        ]
        arrays += [(name, "i8", _packed("q", values)) for name, values in self.columns.items()]
        return wire.encode_table({**header, "labels": self.labels}, arrays)


def _packed(kind: str, values: list[int]) -> bytes:
    size = 4 if kind == "i" else 8
    try:
        import _struct  # noqa: PLC0415 - a target that runs as another user may not be able to read it
    except ImportError:
        return b"".join([value.to_bytes(size, "little", signed=True) for value in values])
    return _struct.pack("<%d%s" % (len(values), kind), *values)
