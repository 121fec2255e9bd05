"""`logwarden rules list|show|test|page|lint`: the rules themselves, without a daemon and without compiling them all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from .. import config
from .. import rules as rule_files
from ..errors import ConfigError, RuleError
from ..model import AttackRule
from ..rules import reference
from ..rules.trial import try_file
from .lint import lint
from .options import config_option, console, json_option, print_json, print_problem, safe, table


@click.group(name="rules", context_settings={"help_option_names": ["-h", "--help"]})
def rules() -> None:
    """List, show and test rules."""


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
    found = [rule for rule in _attack_rules(config_file) if program is None or program in rule.programs]
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
    found = next((rule for rule in _attack_rules(config_file) if name in (rule.id, str(rule))), None)
    if found is None:
        raise RuleError(f"no attack rule has the id {safe(name)}: `logwarden rules list` has them all")
    if as_json:
        print_json(_as_json(found))
        return
    for title, text in _described(found):
        click.echo(f"{title:12} {safe(text)}")


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
    click.echo(reference.page(ruleset.attack), nl=False)


def _attack_rules(config_file: str) -> Sequence[AttackRule]:
    return rule_files.load(attack=config.load(config_file).rules.attack, aggressive=True).attack


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
        "samples": [sample._asdict() for sample in rule.samples],
        "near_misses": list(rule.near_misses),
    }
