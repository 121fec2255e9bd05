"""Where a tail stands in its chain: the file being read, and the one before it, which a slow writer may still write to.

Owns: these two files' descriptors, and what the cursor says of them. Nothing else closes them.
Never: decides when to go on, or reads; see `tail`.
"""

from __future__ import annotations

from dataclasses import replace

from .copies import Passed
from .place import Place, dump, load
from .reading import Reading
from .rotation import stamp


class Standing:
    """Mutable. What is closed is a Place; what is open, a Reading."""

    def __init__(self) -> None:
        self.at: Reading | None = None
        """The file being read."""
        self.old: Reading | None = None
        """The one before it, while someone may still write to it."""
        self.before: Place | None = None
        """The one before it, when it is closed."""
        self.resume: Place | None = None
        """Where to read on, in a file still to be found."""
        self.slept = False
        """All was read when the file of `resume` was closed."""
        self.passed = Passed()

    def load(self, cursor: str) -> str | None:
        """Stand where a cursor says; returns its olddir. Raises ValueError where it is none of ours."""
        self.before, self.resume, olddir = load(cursor)
        return olddir

    def cursor(self, olddir: str | None) -> str:
        """What leads back here."""
        before = self.old.place() if self.old and self.old.offset else self.before
        return dump(before, self.at.place() if self.at else None, olddir)

    def reached(self) -> list[Place | Reading]:
        """The latest files that were read before the one at hand, the latest first; see Chain.newer."""
        return [known for known in (self.old, self.before) if known is not None]

    def holds(self, device: int, inode: int) -> bool:
        """Whether a file is one of those that are read here, whatever it is called."""
        return any(known.same_inode(device, inode) for known in (self.at, self.old, self.resume) if known)

    @property
    def nowhere(self) -> bool:
        """Nothing is open, nor to be found again."""
        return not (self.at or self.old or self.resume)

    # --- going on, and letting go -------------------------------------------------------------------------------

    def move(self, at: Reading, following: Reading | None) -> None:
        """`at` has been read to its end: stand in the one that follows, and keep `at` for what may be added to it."""
        self.at, self.old = following, at
        if not at.offset:  # it holds no text, and so cannot be known again
            self.passed.add(stamp(at.log.stat()))
        if at.log.packed:
            self.drop_old()

    def leave(self, at: Reading) -> None:
        """`at` has been read to its end and has no name any more: it is done with, and nothing follows yet."""
        self.at, self.old = None, at
        self.drop_old()

    def drop_old(self) -> None:
        """Close the file before: nobody writes to it any more."""
        if self.old is not None:
            if self.old.offset or self.old.log.damage is not None:  # an empty file cannot be known again
                self.before = self.old.place(done=True)
            self.old.log.close()
            self.old = None

    def forgo(self, known: Place | Reading) -> None:
        """What was read is in no file any more: what is modified later than that is newer."""
        if known.offset:
            self.before = replace(known if isinstance(known, Place) else known.place(), done=True)

    def release(self) -> None:
        """Close the files; someone may still write to them."""
        for reading in (self.at, self.old):
            if reading is not None:
                reading.log.close()
        if self.old is not None and self.old.offset:
            self.before = self.old.place()
        self.at = self.old = None
