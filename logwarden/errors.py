"""The one hierarchy of errors, and what each means to the process.

Owns: the exit status of every failure, and how a place in a file is written (`file:line`).
Never: catches anything. An error that is not one of these is a bug: the process dies with its traceback and
systemd starts it again.

Exit status: 1 failure, 2 usage (click's own), 78 bad configuration (EX_CONFIG of sysexits.h).
"""

from __future__ import annotations


class LogwardenError(Exception):
    """Anything that logwarden can name. Its text is a whole sentence for a person, without the class name."""

    exit_status = 1


class ConfigError(LogwardenError):
    """The config cannot be used. The text is `file:line: path: what was expected`, one problem a line."""

    exit_status = 78


class RuleError(LogwardenError):
    """One rule or one rule file cannot be used; it is refused by name and the rest stays in force."""

    exit_status = 78


class EdgeError(LogwardenError):
    """The world outside failed (a command, a socket, the mail server). Report it, keep the state, retry."""


class CommandError(EdgeError):
    """A subprocess could not be started, or failed."""


class UnansweredError(CommandError):
    """A subprocess ran out of time."""


class FirewallError(EdgeError):
    """The kernel's sets or rules could not be read or changed."""


class HungError(FirewallError):
    """A firewall command ran out of time."""


class MailError(EdgeError):
    """One delivery attempt failed. `permanent` says that the server refused it for good (5xx)."""

    def __init__(self, text: str, *, permanent: bool = False, refused: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.permanent = permanent
        self.refused = refused or {}  # recipient -> what the server said, where it took the others


class StateError(EdgeError):
    """The database cannot be used: full disk, damage, a schema newer than this program."""


class AddressError(LogwardenError):
    """This address or prefix must not be banned; the text says why."""
