"""What `stop` and `detach` show of the sessions that they ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execctl import output
from execctl.descendants import Trees
from execctl.suggestions import after_end
from execctl.tables import ENDED_HEAD, ended_row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from execctl.api.session import Session


def tell_ended(sessions: Sequence[Session]) -> list[Session]:
    """Show sessions that have just ended, of a tree its root's, and what shows their profiles; return those shown."""
    known = Trees(sessions)
    shown = [one for one in sessions if not known.has(one.id)]
    if shown:
        output.write_table(ENDED_HEAD, (ended_row(one, known.name(one.id)) for one in shown), prose=1)
    output.suggest(*after_end([one.id if one.children or known.below(one.id) else one.latest_profile for one in shown]))
    return shown
