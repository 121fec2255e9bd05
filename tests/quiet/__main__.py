"""`make quiet`: a real machine, used for an hour and then broken in fifty ways, before logwarden and logcheck.

    make quiet              boot, use, break, judge: some five minutes; needs root and apt
    make quiet AGAIN=1      judge the last capture once more

Exits with 1 where anything is not so that `claims` says.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from .capture import Capture, capture
from .judge import judge
from .tree import BUILD


def main() -> int:
    """Run it. Returns the exit status."""
    if os.geteuid() != 0:
        print("make quiet needs root: it boots a machine in namespaces")
        return 1
    notes = BUILD / "capture" / "notes.json"
    if "--again" in sys.argv:
        known = json.loads(notes.read_text())
        seeded = {name: (times[0], times[1]) for name, times in known["seeded"].items()}
        made = Capture(Path(known["journal"]), known["steady"], seeded, known["undone"])
    else:
        made = capture()
        notes.write_text(json.dumps({**made._asdict(), "journal": str(made.journal)}))
    return judge(made)


sys.exit(main())
