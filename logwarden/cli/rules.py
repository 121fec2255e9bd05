"""`logwarden rules list|show|files|test|page|lint`: the rules themselves, without a daemon, and none compiled."""

from __future__ import annotations

import sys
from typing import Any

import click

from .. import config, presets
from .. import rules as rule_files
from ..errors import ConfigError, RuleError
from ..model import AttackRule, RuleSet
from ..rules import reference
from ..rules.trial import try_file
from .lint import lint
from .options import config_option, console, json_option, print_json, print_problem, safe, table


@click.group(name="rules", context_settings={"help_option_names": ["-h", "--help"]})
def rules() -> None:
    """List, show and test rules.

    \b
    logwarden rules list sshd
    logwarden rules test ./myapp.yaml
    """


rules.add_command(lint)


@rules.command(name="list")
@click.argument("program", required=False)
@config_option
@json_option
def list_(program: str | None, config_file: str, *, as_json: bool) -> None:
    """List the attack rules, aggressive ones too; those of one PROGRAM where it is given.

    \b
    logwarden rules list
    logwarden rules list sshd
    """
    found = [rule for rule in _rules(config_file).attack if program is None or program in rule.programs]
    if as_json:
        print_json([_as_json(rule) for rule in found])
        return
    made = table(None, "rule", "programs", "bans after", "")
    for rule in found:
        made.add_row(rule.id, " ".join(rule.programs), reference.policy_text(rule.policy), reference.remarks(rule))
    console().print(made, markup=False)


@rules.command()
@click.argument("name", metavar="ID")
@config_option
@json_option
def show(name: str, config_file: str, *, as_json: bool) -> None:
    """Show one attack rule: where it stands, its policy, what it matches, samples and near misses.

    \b
    logwarden rules show sshd-failed-login
    """
    known = _rules(config_file)
    found = next((rule for rule in known.attack if name in (rule.id, str(rule))), None)
    if found is None:
        raise RuleError(f"no attack rule has the id {safe(name)}: `logwarden rules list` has them all")
    logs = [preset for preset in known.presets if preset.file == found.file]
    if as_json:
        print_json({**_as_json(found), "files": [preset.path for preset in logs]})
        return
    for title, text in [*_described(found), *(("log", reference.log_text(preset)) for preset in logs)]:
        click.echo(f"{title:12} {safe(text)}")


@rules.command()
@config_option
@json_option
def files(config_file: str, *, as_json: bool) -> None:
    """List the log files that attack files know, and which of them the config wants. Those are read for their attacks
    alone, where they exist; `logwarden status` says what came of each.

    \b
    logwarden rules files
    """
    settings = config.load(config_file)
    choices = presets.choose(settings.sources, rule_files.load(attack=settings.rules.attack, aggressive=True).presets)
    if as_json:
        print_json(
            [{**each.preset._asdict(), "where": str(each.preset.where), "why_not": each.why_not} for each in choices]
        )
        return
    made = table(None, "path", "program", "file", "")
    for each in choices:
        remark = "if it is there" if each.why_not is None else f"not read: {each.why_not}"
        made.add_row(safe(each.preset.path), safe(each.preset.program), safe(each.preset.file), safe(remark))
    console().print(made, markup=False)


@rules.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
def test(files: tuple[str, ...]) -> None:
    """Try the rules of FILEs, each by itself, against their own samples. Exits with 1 where one cannot be used.

    \b
    logwarden rules test ./myapp.yaml ./local.rules
    """
    out, bad = console(), False
    for file in files:
        try:
            trial = try_file(file)
        except RuleError as error:
            raise RuleError(str(error) if file in str(error) else f"{file}: {error}") from error
        for refusal in trial.refused:
            print_problem(out, refusal)
        bad = bad or bool(trial.refused)
        samples = sum(len(rule.samples) + len(rule.near_misses) for rule in trial.good if isinstance(rule, AttackRule))
        click.echo(f"{safe(file)}: {len(trial.good)} good, {samples} samples tried, {len(trial.refused)} refused")
    sys.exit(1 if bad else 0)


@rules.command()
@click.argument("directories", nargs=-1, required=True, metavar="DIRECTORY...")
def page(directories: tuple[str, ...]) -> None:
    """Print the reference page of the attack rules in DIRECTORY, in Markdown.

    \b
    logwarden rules page attack.d > rules.md
    """
    ruleset = rule_files.load(attack=directories, aggressive=True)
    if ruleset.refused:
        raise ConfigError("\n".join(map(str, ruleset.refused)))
    click.echo(reference.page(ruleset.attack, ruleset.presets), nl=False)


def _rules(config_file: str) -> RuleSet:
    return rule_files.load(attack=config.load(config_file).rules.attack, aggressive=True)


def _described(rule: AttackRule) -> list[tuple[str, str]]:
    pairs = [
        ("rule", str(rule)),
        ("file", str(rule.where)),
        ("programs", " ".join(rule.programs)),
        ("bans after", reference.policy_text(rule.policy)),
        ("remarks", reference.remarks(rule) or "-"),
        *([(path, pattern) for path, pattern in rule.fields] or [("match", rule.regex)]),
    ]
    for sample in rule.samples:
        pairs += [("first", sample.after)] if sample.after else []
        pairs += [("sample", f"{sample.line}  [{sample.address or 'no address'}]")]
    return [*pairs, *(("near miss", line) for line in rule.near_misses)]


def _as_json(rule: AttackRule) -> dict[str, Any]:
    policy = rule.policy
    return {
        "id": rule.id,
        "file": str(rule.where),
        "programs": list(rule.programs),
        "policy": {"threshold": policy.threshold, "window": policy.window, "ban": policy.ban} if policy else None,
        "match": rule.regex,
        "fields": dict(rule.fields),
        "score": rule.score,
        "severity": str(rule.severity),
        "aggressive": rule.aggressive,
        "requires": list(rule.requires),
        "once": rule.once,
        "resolve": rule.resolve,
        "samples": [sample._asdict() for sample in rule.samples],
        "near_misses": list(rule.near_misses),
    }
