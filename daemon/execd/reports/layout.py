"""How wide a text report is, and what it may be made of besides letters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

USUAL_WIDTH: Final = 100
# Below it a table has no room for a name; above it nothing is left to shorten.
NARROWEST: Final = 60
WIDEST: Final = 1000

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
YELLOW: Final = "33"
CYAN: Final = "36"

_EIGHTHS = " ▏▎▍▌▋▊▉"
_WHOLE = "█"
_BAR = 8


@dataclass(frozen=True, slots=True)
class Layout:
    """How a text report is laid out.

    Attributes:
        width: columns of a line, from NARROWEST to WIDEST; 0: nothing is shortened.
        has_color: lines hold SGR sequences, the only control characters of a report.
        is_ascii: what the report adds to names is ASCII: bars, and the mark of what was left out.
        has_header: what stands above and below the tables is there too.
        is_part: it is one of several below one header: what is said of all of them is not said again.
    """

    width: int = USUAL_WIDTH
    has_color: bool = False
    is_ascii: bool = False
    has_header: bool = True
    is_part: bool = False

    @property
    def mark(self) -> str:
        """What stands for what was left out."""
        return "..." if self.is_ascii else "…"

    def styled(self, text: str, *codes: str) -> str:
        """Return the text in a style; as it is where there is no colour, or no code."""
        wanted = ";".join(code for code in codes if code)
        return f"\x1b[{wanted}m{text}\x1b[0m" if self.has_color and wanted and text else text

    def bar(self, share: float) -> str:
        """Return a bar of at most eight columns for a share from 0.0 to 1.0."""
        share = min(max(share, 0.0), 1.0)
        if self.is_ascii:
            return "#" * round(share * _BAR)
        whole, eighths = divmod(round(share * _BAR * 8), 8)
        return _WHOLE * whole + (_EIGHTHS[eighths] if eighths else "")


def layout_of_width(columns: int) -> int:
    """Return the nearest width that a report can have; 0 stands for the usual one."""
    return min(max(columns, NARROWEST), WIDEST) if columns else USUAL_WIDTH
