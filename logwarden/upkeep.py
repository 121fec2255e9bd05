"""What the daemon does beside the lines: a jump of the clock, the minute's round, room on the disk, repair.

Each takes the daemon. Trouble at an edge is a notice, and the next round tries again.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from . import duration, firewall, maintenance, own, watch
from .errors import EdgeError, StateError
from .inbox import CROWD
from .model import Ban, Notice, NoticeKind, Outcome
from .silence import Expected, Roll
from .sources.file import gone
from .state import PENDING
from .traces import Trace

if TYPE_CHECKING:
    from .daemon import Daemon
    from .settings import Config

CLOCK, ROLL, ENDED = "clock", "roll", "ended"
"""Where state remembers the clocks as they stood last, who speaks how often, and which ends of bans were told."""
HOUR = 3600.0
LATE = 30.0
"""Seconds that a source may be behind and yet tell who is silent."""
FULL = 0.9
"""What is left of the room for the database once the oldest lines had to go."""
STEP = 5_000
"""Lines of a kind that are deleted at once, in some 40 ms: more than come in meanwhile."""
LOOSE = 4_000_000
"""Bytes that the files may take beyond what is in use."""


# --- the clock ----------------------------------------------------------------------------------------------


def take_up(daemon: Daemon, now: float) -> float:
    """At the start: move what state holds where the clock has jumped meanwhile, and learn who used to speak.

    Returns the seconds that it has jumped.
    """
    mark = daemon.state.recall(CLOCK)
    by = daemon.watched.jump_since(mark)
    if by:
        daemon.owed_shift, daemon.owed_from = by, daemon.watched.unmoved(by)
        daemon.note(_jumped(by, now))
    settle_clock(daemon)
    if (at := daemon.watched.booted_since(mark)) is not None:
        daemon.edge(NoticeKind.STATE, lambda: maintenance.booted(daemon, at, now))
    daemon.roll = Roll.load(daemon.state.recall(ROLL), now)
    daemon.roll.expected = expected(daemon.watch.config)
    daemon.ended = float(daemon.state.recall(ENDED) or now)
    return by


def mind_clock(daemon: Daemon) -> None:
    """Where the clock has jumped, let every ban keep its length and everything its age."""
    by = daemon.watched.jump()
    if by == 0.0:
        return
    now = daemon.clock()
    unmoved = daemon.watched.unmoved(by)
    daemon.owed_shift += by
    daemon.owed_from = daemon.owed_from if unmoved is None else unmoved
    daemon.pipeline.shift(by, now)
    daemon.protection.shift(by)
    daemon.ended += by
    daemon.reschedule(now)
    if settle_clock(daemon) and unmoved is not None:
        learn_again(daemon, now)
    daemon.note(_jumped(by, now))
    reconcile(daemon, now, expected=True)


def learn_again(daemon: Daemon, now: float) -> None:
    """Let the tracker know again what state knows: bans that seemed to be over are not. Trouble leaves it as it was."""
    hits, bans = daemon.pipeline.unwritten_hits(now), daemon.pipeline.unwritten()

    def act() -> None:
        daemon.pipeline.tracker = watch.tracker(daemon.watch, daemon.state, now, hits, bans, daemon.protection)

    daemon.edge(NoticeKind.STATE, act)


def settle_clock(daemon: Daemon) -> bool:
    """Move the times in state as far as the clock has jumped, once for each jump; False: the database does not take it.

    The mark that tells the next start of a jump is written in the same transaction.
    """
    if not daemon.owed_shift:
        return True
    try:
        with daemon.state.transaction() as tx:
            tx.shift(daemon.owed_shift, daemon.owed_from)
            tx.remember(CLOCK, daemon.watched.mark())
    except StateError as error:
        daemon.stall(str(error))
        return False
    daemon.owed_shift, daemon.owed_from = 0.0, None
    return True


def _jumped(by: float, now: float) -> Notice:
    text = (
        f"the clock was set {duration.format(abs(by))} {'ahead' if by > 0 else 'back'}; bans keep their length, and the"
        " times of lines from before stand as they were written"
    )
    return Notice(NoticeKind.CLOCK, "clock", text, now)


# --- the minute's round -------------------------------------------------------------------------------------


def round_(daemon: Daemon, now: float) -> None:
    """Reconcile the kernel, forget what is over, call the roll, keep the copies; see whether there is room."""
    for ban in recover(daemon, now):
        daemon.pipeline.tracker.note_ban(ban)
    if daemon.protection.expire(now):
        daemon.protect()
    reconcile(daemon, now)
    daemon.edge(NoticeKind.STATE, lambda: tell_of_ends(daemon, now))
    daemon.pipeline.tracker.expire(now)
    late = any(lag.seconds > LATE for lag in daemon.unread().values())
    current = not late and not daemon.pipeline.owes and len(daemon.inbox) < CROWD
    if current:  # nobody is silent who is not read yet
        for notice in daemon.roll.call(now):
            daemon.note(notice)
    daemon.edge(NoticeKind.STATE, lambda: _keep(daemon, now, current))
    daemon.edge(NoticeKind.STATE, lambda: tell_what_is_owed(daemon, now))


def tell_what_is_owed(daemon: Daemon, now: float) -> None:
    """Make the digest of a period that is over and untold, for that failed or we were killed. Raises StateError."""
    if not daemon.mailing.making and daemon.state.owed():
        daemon.close_period(now)


def tell_of_ends(daemon: Daemon, now: float) -> None:
    """Let the actions hear of bans that have ended by themselves, also while no daemon ran. Raises StateError."""
    since, daemon.ended = min(daemon.ended, now), now
    if daemon.actions.unbans:
        daemon.actions.unbanned(daemon.state.bans_ended(since, now))


def _keep(daemon: Daemon, now: float, current: bool) -> None:
    hour = now >= daemon.next_hour
    gone = _gone(daemon, now) if hour and current else []  # of one that is, a rotated part may still wait to be read
    with daemon.state.transaction() as tx:
        tx.remember(CLOCK, daemon.watched.mark())
        tx.remember(ENDED, daemon.ended)
        daemon.protection.keep(tx, now)
        daemon.immediate.keep(tx)
        tx.remember(own.MEMORY, daemon.own.dump())
        if hour:
            tx.remember(ROLL, daemon.roll.dump(now))
            tx.forget_sources(gone)
    daemon.forget_sources(gone)
    daemon.state.copy_cursors()
    if hour:
        daemon.next_hour = now + HOUR
        _name_deaf(daemon, now)
        daemon.mailing.forget(daemon.watch.config, now)
    used, _ = daemon.state.size()
    daemon.untidy = daemon.untidy or hour or used > daemon.watch.config.retention.size
    if daemon.state.spare() > LOOSE and not daemon.press.busy:  # it would wait for who reads beside us
        daemon.state.shrink()
        daemon.shrunk = now


def _gone(daemon: Daemon, now: float) -> list[str]:
    """The files that a glob has found and that are gone, of which nothing was read for as long as lines are kept."""
    config = daemon.watch.config
    return gone(daemon.state.idle(now - config.retention.age), {file.path for file in config.sources.files})


def leave(daemon: Daemon) -> None:
    """At the stop: remember the clocks and who speaks, and copy the cursors."""
    with suppress(StateError):
        if settle_clock(daemon):
            with daemon.state.transaction() as tx:
                tx.remember(CLOCK, daemon.watched.mark())
                tx.remember(ROLL, daemon.roll.dump(daemon.clock()))
                tx.remember(ENDED, daemon.ended)
                daemon.protection.keep(tx, daemon.clock())
                tx.remember(own.MEMORY, daemon.own.dump())
        daemon.state.copy_cursors()


def tidy(daemon: Daemon, now: float) -> None:
    """One step of making room: lines that are too old, then the oldest where there are too many.

    Due again, between two batches, while `untidy` is set: no ban waits for all of it.
    """
    room = daemon.watch.config.retention
    daemon.untidy = False
    with daemon.state.transaction() as tx:
        gone = tx.forget(now - room.age, STEP)
    if gone >= STEP:
        daemon.untidy = True
        return
    if daemon.state.size()[0] <= room.size * (FULL if daemon.crowded else 1):
        daemon.crowded = False
        daemon.notices.faults.pop("room", None)
        return
    with daemon.state.transaction() as tx:
        gone = tx.forget_oldest(STEP)
    daemon.crowded = daemon.untidy = gone > 0
    if not gone:
        _make_room_early(daemon, room.size // 1_000_000, now)


def _make_room_early(daemon: Daemon, megabytes: int, now: float) -> None:
    """Only what no digest has told yet is left: tell it now, so that it may go; no oftener than EARLY, though."""
    period = daemon.state.period()
    ripe = period is not None and now - period[1] >= EARLY
    counts = daemon.state.tallies(period[0]) if period and ripe else {}
    if any(by[Outcome.UNEXPLAINED] + by[Outcome.ATTACK] for by in counts.values()):
        text = f"the period ends before its time: its lines fill the {megabytes} MB that the database may take"
        daemon.note(Notice(NoticeKind.STATE, "retention", text, now))
        daemon.close_period(now)
        daemon.untidy = True
    else:
        text = f"what must stay in the database takes more than retention.size, {megabytes} MB"
        daemon.notices.faults["room"] = text


# --- mail ---------------------------------------------------------------------------------------------------


def mail(daemon: Daemon) -> None:
    """Write down what became of attempts, and carry what is due."""
    if not daemon.owed_shift:  # until state has moved with the clock, it does not know how old a message is
        daemon.edge(NoticeKind.STATE, lambda: daemon.mailing.dispatch(daemon.watch.config, daemon.clock()))


# --- silence ------------------------------------------------------------------------------------------------


def expected(config: Config) -> tuple[Expected, ...]:
    """What the config wants to hear of."""
    return tuple(_expected(config))


def _expected(config: Config) -> Iterator[Expected]:
    for file in config.sources.files:
        if file.every is not None:
            yield Expected(file.every, source=f"file:{file.path}")
    journal = config.sources.journal
    if journal and journal.every is not None:
        yield Expected(journal.every, source="journal*")
    for program, every in config.programs.items():
        yield Expected(every, program=program)


def _name_deaf(daemon: Daemon, now: float) -> None:
    files: dict[str, set[str]] = {}
    for rule in daemon.watch.rules.attack:
        files.setdefault(rule.file, set()).update(rule.programs)
    for notice in daemon.roll.deaf(files, daemon.state.attack_files(), now):
        daemon.note(notice)


def notice_refusals(daemon: Daemon, now: float) -> None:
    """Say that there are rules not in force: once for all, since each digest and `status` list them."""
    refused = daemon.watch.refused
    if refused:
        text = f"{len(refused)} rules or rule files are not in force, the first of them {refused[0]}"
        daemon.note(Notice(NoticeKind.REFUSED, "rules", text, now))


# --- repair -------------------------------------------------------------------------------------------------


def recover(daemon: Daemon, now: float) -> list[Ban]:
    """After the database was damaged: take the bans in force from the kernel's set, say what happened, return them.

    What fails is tried again each round, and until then `reconcile` takes nothing out of the kernel.
    """
    recovered: list[Ban] = []
    daemon.edge(NoticeKind.STATE, lambda: recovered.extend(_recovered(daemon, now)))
    return recovered


def _recovered(daemon: Daemon, now: float) -> list[Ban]:
    repaired = daemon.state.repaired
    if repaired is None or not settle_clock(daemon):
        return []
    try:
        held = dict(daemon.traces.held(now))  # before `init`, which may have to make a set anew
        daemon.firewall.init()
        held.update(daemon.firewall.list(now))
    except EdgeError as error:
        daemon.note(Notice(NoticeKind.FIREWALL, daemon.watch.config.bans.backend, str(error), now))
        text = f"{repaired}. The kernel's bans could not be read yet: none is lifted until they are"
        daemon.note(Notice(NoticeKind.STATE, "state", text, now))
        return []
    known = {ban.prefix for ban in (*daemon.state.bans_since(0.0), *daemon.unwritten())}
    why = "recovered from the kernel's set after the database was damaged"
    bans = [Ban(prefix, now, now + left, "recovered", why) for prefix, left in held.items() if prefix not in known]
    said = Notice(NoticeKind.STATE, "state", f"{repaired}. Bans recovered from the kernel: {len(bans)}", now)
    with daemon.state.transaction() as tx:
        period = tx.open_period(now)
        for ban in bans:
            tx.add_ban(period, ban)
        tx.add_notice(period, said)
        tx.remember(PENDING, None)
    daemon.note(said)
    return bans


def reconcile(daemon: Daemon, now: float, *, expected: bool = False) -> None:
    """Make the kernel's sets what SQLite says, and those of a former config gone. A difference is news, unless it was
    `expected`.

    While SQLite has yet to `recover` what the kernel knows, nothing is taken out.
    """
    if not settle_clock(daemon):  # until state has moved with the clock, it does not know when a ban ends
        return

    def settle() -> None:
        bans = daemon.watch.config.bans
        if daemon.state.repaired is None:
            daemon.traces.settle(Trace.of(bans.effective_backend, bans.firewall))

    def act() -> None:
        wanted = [*daemon.state.bans(now), *daemon.unwritten()]
        daemon.flushed = daemon.flushed and not wanted
        if daemon.flushed:
            return
        repairs = firewall.reconcile(daemon.firewall, wanted, now, remove=daemon.state.repaired is None)
        if repairs and not expected:
            daemon.note(Notice(NoticeKind.FIREWALL, daemon.watch.config.bans.backend, str(repairs), now))

    daemon.edge(NoticeKind.FIREWALL, settle)
    daemon.edge(NoticeKind.FIREWALL, act)


EARLY = 3_600.0
"""Seconds that a period lasts at least, however full the database is: a flood of lines is no flood of mail."""
