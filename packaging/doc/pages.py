"""The manual pages, the reference in Markdown and the shells' completions, all from what the program itself goes by.

    python3 packaging/doc/pages.py DIRECTORY

Owns: logwarden(8) from click, logwarden.yaml(5) and logwarden-rules(5) from the JSON schemas; each page is a list of
blocks, written once as roff and once as Markdown.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

import click
from click.shell_completion import get_completion_class

from logwarden import __version__
from logwarden.cli import COMMANDS, group

DATE = "2026-11-22"
PACKAGE = Path(__file__).parents[2] / "logwarden"


class Block(NamedTuple):
    """`kind`: head, text, term (of which `text` is the explanation) or code."""

    kind: str
    text: str
    term: str = ""


# --- what the pages say -------------------------------------------------------------------------------------


def commands() -> Iterator[Block]:
    yield Block("head", "NAME")
    yield Block("text", "logwarden - mails the log lines that no rule calls normal, and bans the source of an attack")
    yield Block("head", "SYNOPSIS")
    yield Block("code", "logwarden COMMAND [OPTIONS] [ARGUMENTS]")
    yield Block("head", "DESCRIPTION")
    yield Block(
        "text",
        "A daemon that reads every log line of a host, hides what a rule calls normal, mails the rest on a schedule, and bans the source of what a rule calls an attack. Every line is accounted for: read = ignored + attack + unexplained + quarantined.",
    )
    yield Block("head", "COMMANDS")
    for name in COMMANDS:
        command = getattr(import_module(f"logwarden.cli.{COMMANDS[name]}"), name.replace("-", "_"))
        yield from _command(name, command)
    yield Block("head", "EXIT STATUS")
    for status, meaning in (
        ("0", "done"),
        ("1", "it failed, or something is amiss"),
        ("2", "wrong usage"),
        ("78", "the config cannot be used"),
    ):
        yield Block("term", meaning, status)
    yield Block("head", "SIGNALS")
    yield Block("term", "read config and rules again; where they cannot be used, the old ones stay in force", "SIGHUP")
    yield Block("term", "stop; bans stay in force, each with its own end", "SIGTERM, SIGINT")
    yield Block("head", "FILES")
    for path, what in (
        ("/etc/logwarden/logwarden.yaml", "the config, see logwarden.yaml(5)"),
        (
            "/etc/logwarden/ignore.d, /etc/logwarden/attack.d",
            "your rules, see logwarden-rules(5); a file here replaces the shipped one of the same name",
        ),
        ("/usr/share/logwarden/ignore.d, /usr/share/logwarden/attack.d", "the shipped rules"),
        ("/var/lib/logwarden", "the database"),
        (
            "/run/logwarden/control.sock",
            "where the daemon answers: reading commands to root and the group logwarden, changing ones to root and the user logwarden alone, as whom the daemon runs",
        ),
    ):
        yield Block("term", what, path)
    yield Block("head", "ENVIRONMENT")
    yield Block("term", "no colours, also on a terminal", "NO_COLOR")
    yield Block("head", "SEE ALSO")
    yield Block("text", "logwarden.yaml(5), logwarden-rules(5), systemd.time(7), ipset(8)")


def _command(name: str, command: click.Command) -> Iterator[Block]:
    context = click.Context(command, info_name=name)
    usage = " ".join(command.collect_usage_pieces(context))
    yield Block("term", "", f"logwarden {name} {usage}")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        code = paragraph.startswith("\b")
        yield (
            Block("code", paragraph.removeprefix("\b").strip("\n"))
            if code
            else Block("text", " ".join(paragraph.split()))
        )
    for parameter in command.params:
        record = parameter.get_help_record(context) if isinstance(parameter, click.Option) else None
        if record:
            yield Block("term", record[1], record[0])


def settings() -> Iterator[Block]:
    yield Block("head", "NAME")
    yield Block("text", "logwarden.yaml - the config of logwarden")
    yield Block("head", "DESCRIPTION")
    yield Block(
        "text",
        "A YAML file in which everything may be left out. `logwarden check` says what it thinks of it; `logwarden reload` puts it in force, and a file with a mistake changes nothing. A length of time is 90s, 10m, 1h, 7d or 4w.",
    )
    yield Block("head", "SETTINGS")
    yield from _properties(_schema("config.schema.json"))
    yield Block("head", "SEE ALSO")
    yield Block("text", "logwarden(8), logwarden-rules(5)")


def rules() -> Iterator[Block]:
    yield Block("head", "NAME")
    yield Block("text", "logwarden-rules - what is normal, and what is an attack")
    yield Block("head", "IGNORE RULES")
    yield Block(
        "text",
        "Plain text in ignore.d/LEVEL/NAME.rules, one rule a line; empty lines and lines that begin with # do not count. A line that a rule matches is normal, and is not mailed.",
    )
    yield Block(
        "code",
        "sshd, sshd-session: Accepted publickey for <USER> from <ADDR> port <PORT> ssh2: .+\n*: Some message that any program may write",
    )
    yield Block(
        "text",
        "Before the colon stand programs: names or globs. After it stands a regular expression as GNU grep -E reads it, with \\d and the placeholders below, for the whole message: no time, host, tag or pid. A line that starts with ^ is a rule of logcheck's, for the whole line.",
    )
    yield Block("text", "Placeholders: <ADDR> <HOST> <USER> <PORT> <NUM> <HEX> <UUID> <PATH> <WORD> <LOGIN> <SESSION>.")
    yield Block("head", "ATTACK RULES")
    yield Block(
        "text",
        "YAML in attack.d/NAME.yaml. The address to ban stands at <ADDR>. Whom the attack was on stands at <USER>, or at <LOGIN> where a name holds no comma, parenthesis or space: whoever has logged in from there as that user is not banned for it, and takes back with his login what was counted just before for that name and no other. A rule without such a placeholder counts whoever logs in.",
    )
    yield Block(
        "code",
        "program: [sshd, sshd-session]\npolicy: {threshold: 5, window: 10m, ban: 1h}\nrules:\n  - id: sshd-failed-password\n    match: 'Failed \\S+ for (invalid user )?<USER> from <ADDR> port <PORT>( ssh2)?'\n    samples:\n      - {line: 'Failed password for root from 203.0.113.9 port 4242 ssh2', address: 203.0.113.9}\n    near_misses:\n      - 'Failed password for root'",
    )
    yield Block(
        "text",
        'A message that is a JSON object is best matched by its fields: each has a path and a pattern of its whole value, in any order, and what a stranger wrote into a value never ends it. In a value, a quotation mark is written \\\\" and a backslash \\\\\\\\, as JSON escapes them; . and [^x] match an escaped character too.',
    )
    yield Block(
        "code",
        'program: myapp\nrules:\n  - id: myapp-login-failed\n    fields: {event: \'login failed\', request.client: \'<ADDR>\'}\n    samples:\n      - {line: \'{"event":"login failed","request":{"user":"alice","client":"203.0.113.9"}}\', address: 203.0.113.9}',
    )
    yield Block(
        "text",
        "Where the line that tells of an attack does not say whose it is, and another of the same session does, or where it is an attack only after another, a rule requires the other one. That has severity context, and is no attack. Such sessions are kept in memory alone: one that is under way while logwarden starts anew is not followed.",
    )
    yield Block(
        "code",
        "program: slapd\nrules:\n  - id: slapd-bind-refused\n    requires: slapd-accept\n    match: 'conn=<SESSION> op=<NUM> RESULT tag=97 err=49 .*'\n    samples:\n      - after: 'conn=1000 fd=12 ACCEPT from IP=203.0.113.9:4242 (IP=0.0.0.0:389)'\n        line: 'conn=1000 op=0 RESULT tag=97 err=49 text='\n        address: 203.0.113.9\n  - id: slapd-accept\n    severity: context\n    match: 'conn=<SESSION> fd=<NUM> ACCEPT from IP=<ADDR>:<PORT> .*'\n    samples:\n      - {line: 'conn=1000 fd=12 ACCEPT from IP=203.0.113.9:4242 (IP=0.0.0.0:389)', address: 203.0.113.9}",
    )
    yield Block(
        "text",
        "A daemon says of one attempt several things: that a password was wrong, and that the client is gone. A rule with once: true counts only where nothing else of the session has counted against that address. So a scanner that has a key and no password, of which only the last line tells, is counted, and nobody is counted twice.",
    )
    yield Block(
        "code",
        "  - id: sshd-user-broke-off\n    once: true\n    match: 'Connection (closed|reset) by authenticating user <USER> <ADDR> port <PORT>( \\[preauth\\])?'\n    samples:\n      - {line: 'Connection closed by authenticating user root 203.0.113.9 port 4242 [preauth]', address: 203.0.113.9}",
    )
    yield Block("head", "RESOLVE")
    yield Block(
        "text",
        "A line may have a host's name where its source should stand, at <HOST>. It is an attack all the same, and bans nobody: the name is what the reverse lookup of the attacker's address says, and the owner of an address lets it say what he likes, mail.victim.example for one. Whoever looked that name up would ban the victim, and not even a second reverse lookup would help: the victim's address has that name, rightly.",
    )
    yield Block(
        "text",
        "With resolve: true the name is looked up all the same. That is safe only where the daemon did so itself before it logged the name, and took it only where the attacker's own address was among the answers; else it logs the address. So does sshd (UseDNS, since OpenSSH 3.7), whose name PAM has as rhost too, and so do MySQL and MariaDB (unless skip_name_resolve is set). Set it for no other daemon unless you know that of it: telnetd, login, Webmin and most of what calls PAM log a reverse name as it came.",
    )
    yield Block(
        "text",
        "The look-up runs in the background and delays no line. The line counts, at the time at which it was written, against each address of the name whose reverse lookup has that name in turn: so whoever owns a name and adds the address of somebody else to it bans nobody. A name of more than four addresses, of one label, or of sixty letters and more (the daemon may have cut it) counts against none, nor does one whose answer takes a minute, fails, or is garbage. What is never banned is not banned by a name either, and what a ban is for says by which name it was found. At most 256 names wait, answers are kept for five minutes, and a restart forgets the lines that wait; those that are read ahead of a backlog wait for their turn. scan looks up nothing.",
    )
    yield Block(
        "code",
        "  - id: sshd-pam-failure\n    resolve: true\n    match: 'error: PAM: [[:alpha:] ,]+ for (illegal user |invalid user )?<USER> from <HOST>'\n    samples:\n      - {line: 'error: PAM: Authentication failure for root from host.example.org'}",
    )
    yield Block("head", "LOGS THAT ARE NOT SYSLOG'S")
    yield Block(
        "text",
        "An attack file may say where its program logs, if not to syslog or the journal. Each such file that exists is read as if sources.files named it with `for: attacks`: from its present end on (one that appears later from its beginning), and a line that no attack rule takes counts as ignored. What sources.files names is read as that says, and once. `logwarden rules files` lists all of them, `logwarden status` which are read and which may not be; sources.presets leaves out some or all. Of more than 128 files that one glob finds, those written to last are read.",
    )
    yield Block(
        "code",
        "program: [myapp]\nfiles:\n  - {path: /var/log/myapp/*.log}\n  - {path: /var/lib/myapp/audit.json, format: json, time: event.created}\n  - {path: /var/log/myapp/console, journal: true}\nrules: ...",
    )
    yield Block("head", "KEYS OF AN ATTACK FILE")
    yield from _properties(_schema("rules/attack.schema.json"))
    yield Block("head", "SEE ALSO")
    yield Block("text", "logwarden(8), logwarden.yaml(5), grep(1)")


def _schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((PACKAGE / name).read_text())
    return loaded


def _properties(schema: Mapping[str, Any], defs: Mapping[str, Any] | None = None, path: str = "") -> Iterator[Block]:
    defs = schema.get("$defs", {}) if defs is None else defs
    for key, given in schema.get("properties", {}).items():
        rule = {**defs.get(given.get("$ref", "").rpartition("/")[2], {}), **given}
        name = f"{path}{key}"
        if rule.get("properties") and rule.get("type") == "object":
            yield from _properties(rule, defs, f"{name}.")
            continue
        yield Block("term", _meaning(rule), name)
        items = rule.get("items", {})
        items = {**defs.get(items.get("$ref", "").rpartition("/")[2], {}), **items} if isinstance(items, dict) else {}
        yield from _properties(items, defs, f"{name}[].")


def _meaning(rule: Mapping[str, Any]) -> str:
    said = rule.get("description", "")
    if "enum" in rule:
        said += f"{'; ' if said else ''}one of {', '.join(json.dumps(each) for each in rule['enum'])}"
    if not said:
        kind = rule.get("type", "")
        said = " or ".join(kind) if isinstance(kind, list) else str(kind)
    default = f". Default: {json.dumps(rule['default'])}" if "default" in rule else ""
    return f"{said}{default}"


# --- how they are written -----------------------------------------------------------------------------------


def roff(title: str, section: int, blocks: Iterator[Block]) -> str:
    lines = [f'.TH {title} {section} "{DATE}" "logwarden {__version__}" "logwarden"']
    for block in blocks:
        text = _escaped(block.text)
        match block.kind:
            case "head":
                lines.append(f'.SH "{text}"')
            case "text":
                lines += [".PP", text] if text else []
            case "code":
                lines += [".PP", ".RS 4", ".nf", text, ".fi", ".RE"]
            case "term":
                lines += [".TP", f"\\fB{_escaped(block.term)}\\fR", text or "\\&"]
    return "\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    text = (
        text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq").replace("~", "\\(ti").replace("^", "\\(ha")
    )
    return "\n".join(f"\\&{line}" if line.startswith((".", "'")) else line for line in text.split("\n"))


def markdown(title: str, section: int, blocks: Iterator[Block]) -> str:
    lines = [f"# {title}({section})", ""]
    for block in blocks:
        match block.kind:
            case "head":
                lines += [f"## {block.text.capitalize()}", ""]
            case "text":
                lines += [block.text.replace("<", "\\<"), ""] if block.text else []
            case "code":
                lines += ["```", block.text, "```", ""]
            case "term":
                lines += [f"- `{block.term}`{': ' if block.text else ''}{block.text.replace('<', chr(92) + '<')}", ""]
    return "\n".join(lines)


PAGES: Mapping[str, tuple[int, Callable[[], Iterator[Block]]]] = {
    "logwarden": (8, commands),
    "logwarden.yaml": (5, settings),
    "logwarden-rules": (5, rules),
}


def completion(shell: str) -> str:
    found = get_completion_class(shell)
    assert found is not None
    return found(group, {}, "logwarden", "_LOGWARDEN_COMPLETE").source()


def main(place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    for name, (section, blocks) in PAGES.items():
        (place / f"{name}.{section}").write_text(roff(name, section, blocks()))
        (place / f"{name}.md").write_text(markdown(name, section, blocks()))
    for shell in ("bash", "zsh", "fish"):
        (place / f"logwarden.{shell}").write_text(completion(shell))


if __name__ == "__main__":
    os.environ["COLUMNS"] = "100"
    main(Path(sys.argv[1]))
