"""`logwarden digest`: what the next mail would say, sending it now, and the mails that are kept."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import click

from ..doors import shown
from ..errors import EdgeError
from ..model import Entry
from ..state import Posted
from .ask import put
from .grouped import lines_of, search
from .options import clock, config_option, json_option, print_json, safe, show, since_option, table


@click.command()
@click.argument("words", nargs=-1, metavar="[list | show N]")
@config_option
@json_option
@click.option("--preview", "how", flag_value="preview", help="Print the digest as it would be now; send nothing.")
@click.option("--now", "how", flag_value="digest", help="Close the period and send its digest now.")
@click.option("--html", "html_file", metavar="FILE", help="Write the HTML of a preview or a kept digest to FILE.")
@since_option("With --preview: of all periods that ended in this time, e.g. 1d.")
@click.option("--open-group", "group", metavar="ID", help="With --preview: every line of one group, by its id.")
def digest(
    words: tuple[str, ...],
    config_file: str,
    how: str | None,
    html_file: str | None,
    since: float | None,
    group: str | None,
    *,
    as_json: bool,
) -> None:
    """Preview the next digest, send it now, or look at those that are kept.

    \b
    logwarden digest --preview                      the mail as it would be now
    logwarden digest --preview --open-group 4f0c1a2b  all lines of one of its groups
    logwarden digest list
    logwarden digest show 7 --html mail.html
    """
    if group and how != "digest" and not words:
        _open_group(config_file, group, as_json=as_json)
    elif words == ("list",) and how is None:
        _list(config_file, as_json=as_json)
    elif len(words) == 2 and words[0] == "show" and words[1].isdecimal() and how is None:
        _show(config_file, int(words[1]), html_file)
    elif words or how is None:
        raise click.UsageError("give --preview, --now, list or show N")
    else:
        _ask(config_file, how, html_file, since, as_json=as_json)


def _ask(config_file: str, how: str, html_file: str | None, since: float | None, *, as_json: bool) -> None:
    arguments = {"since": since} if how == "preview" and since is not None else {}
    answer = put(config_file, how, **arguments)
    if how == "preview" and html_file and answer.get("html"):
        _write(html_file, answer["html"])
    if as_json:
        print_json(answer)
    elif how == "preview":
        show(f"Subject: {answer['subject']}\n\n{answer['text']}")
    else:
        click.echo(f"Sent to the outbox: {answer['subject']}" if answer["subject"] else "Nothing to report.")


def _open_group(config_file: str, group: str, *, as_json: bool) -> None:
    with search(config_file) as kept:
        lines = lines_of(kept, group)
    if as_json:
        for entry in lines:
            print_json(as_data(entry))
    else:
        show("".join(f"{safe(entry.raw)}\n" for entry in lines))


def as_data(entry: Entry) -> dict[str, Any]:
    """A line as JSON has it."""
    names = ("source", "time", "host", "program", "rule", "address", "message", "raw")
    return {"outcome": str(entry.outcome), **{name: getattr(entry, name) for name in names}}


def _list(config_file: str, *, as_json: bool) -> None:
    with search(config_file) as kept:
        found = list(kept.digests())
    if as_json:
        print_json([{**each._asdict(), "recipients": list(map(shown, each.recipients))} for each in found])
        return
    lines = table(None, "number", "made", "state", "subject")
    for each in found:
        lines.add_row(str(each.number), clock(each.created), _condition(each), safe(each.subject))
    show(lines if found else "No digest is kept.\n")


def _condition(posted: Posted) -> str:
    if posted.delivered is not None:
        return f"delivered {clock(posted.delivered)}"
    return "given up" if posted.given_up is not None else "waiting"


def _show(config_file: str, number: int, html_file: str | None) -> None:
    with search(config_file) as kept:
        message = kept.digest(number)
    if message is None:
        raise EdgeError(f"no digest {number} is kept: see `logwarden digest list`")
    mail = email.message_from_bytes(message.content, policy=email.policy.default)
    assert isinstance(mail, EmailMessage)  # noqa: S101 - what that policy makes
    if html_file and (html := mail.get_body(("html",))):
        _write(html_file, html.get_content())
    text = mail.get_body(("plain",))
    head = f"Date: {mail['Date']}\nTo: {mail['To']}\nSubject: {message.subject}\n\n"
    show(head + (text.get_content().replace("\r\n", "\n") if text else ""))


def _write(file: str, html: str) -> None:
    try:
        Path(file).write_text(html, encoding="utf-8")
    except OSError as error:
        raise EdgeError(f"{file}: {error.strerror}") from error
