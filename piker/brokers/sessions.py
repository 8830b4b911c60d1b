"""Recorded sessions: writing one, and what it says of itself.

`sim` plays them. This is the API; the form of a file is told in the modules below.
"""

from ._session_file import SessionWriter as SessionWriter, check_out as check_out
from ._session_head import venue_of as venue_of
from ._session_notes import (
    Begun as Begun,
    Done as Done,
    Down as Down,
    Dropped as Dropped,
    Gone as Gone,
    Note as Note,
    Up as Up,
    note_line as note_line,
)
