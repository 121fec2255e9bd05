"""Rules for messages that are JSON objects: by fields in any order, and by none but those that the daemon wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from logwarden import ere, matcher
from logwarden.errors import RuleError
from logwarden.matcher import objects
from logwarden.matcher.cache import hyperscan_version
from logwarden.model import Batch, Dialect, RuleSet
from logwarden.rules import attack, fields

LOGIN = {"remoteAddr": "<ADDR>", "message": "Login failed: .*"}
REQUEST = {"request.remote_ip": "<ADDR>", "request.uri": r"/login(\?.*)?", "status": "401"}
WRITTEN = (
    *("192.0.2.1", "198.51.100.7", "2001:db8::9", "::1", " ip=", "from ", ",", ":", "x", ".", " ", "é"),
    *(r"\u0031", r"\u002e", r"\"", r"\\", r"\/", r"\u003c", r"\u003a"),
)


def found(patterns: dict[str, str], line: str) -> str | None:
    """The address that a rule with these fields yields; None where it does not match."""
    text = ere.emit(ere.parse(fields.regex(patterns).encode(), Dialect.ATTACK), "capture")
    match = regex.fullmatch(text, line.encode())
    return match["addr"].decode() if match else None


@pytest.mark.parametrize(
    "line",
    [
        '{"remoteAddr":"203.0.113.9","message":"Login failed: alice"}',
        '{"message":"Login failed: alice","remoteAddr":"203.0.113.9"}',
        '{"level":2,"message":"Login failed: ","ok":null,"remoteAddr":"203.0.113.9","at":-1.5e3}',
        '{ "message" : "Login failed: x" , "remoteAddr" : "203.0.113.9" }',
        '{"a":{"b":{"c":[{"d":"}"},[]]}},"message":"Login failed: x","e":[1,"]"],"remoteAddr":"203.0.113.9","f":[]}',
        '{"message":"Login failed: \\"\\\\","remoteAddr":"203.0.113.9"}',
        '@cee: {"message":"Login failed: x","remoteAddr":"203.0.113.9"}',
    ],
)
def test_fields_are_found_in_any_order_and_among_any_others(line: str) -> None:
    assert found(LOGIN, line) == "203.0.113.9"


@pytest.mark.parametrize(
    "line",
    [
        '{"remoteAddr":"203.0.113.9","message":"Login succeeded"}',
        '{"remoteAddr":"203.0.113.9","msg":"Login failed: x"}',
        '{"message":"Login failed: x"}',
        '{"message":"Login failed: x","context":{"remoteAddr":"203.0.113.9"}}',
        '{"message":"Login failed: x, \\"remoteAddr\\":\\"203.0.113.9\\""}',
        '{"remoteAddr":"203.0.113.9 ","message":"Login failed: x"}',
        '{"remoteAddr":"203.0.113.9","message":"Login failed: x"',
        'x {"remoteAddr":"203.0.113.9","message":"Login failed: x"}',
    ],
)
def test_what_is_not_such_an_object_does_not_match(line: str) -> None:
    assert found(LOGIN, line) is None


def test_a_path_leads_into_an_object() -> None:
    request = '"request":{"proto":"x","uri":"/login?a=b","headers":{"A":["b"]},"remote_ip":"203.0.113.9"}'
    assert found(REQUEST, f'{{"status":401,{request}}}') == "203.0.113.9"
    assert found(REQUEST, f'{{{request},"size":0,"status":"401"}}') == "203.0.113.9"
    assert found(REQUEST, f'{{{request},"size":401,"status":200}}') is None
    assert found(REQUEST, '{"remote_ip":"203.0.113.9","uri":"/login","status":401}') is None


HOSTILE = st.one_of(
    st.text(max_size=30),
    st.lists(
        st.sampled_from(
            ['"', "\\", "{", "}", "[", "]", ",", ":", '","remoteAddr":"192.0.2.1', "remoteAddr", "192.0.2.1"]
        )
    ).map("".join),
)
JSON = st.recursive(
    st.one_of(HOSTILE, st.integers(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(HOSTILE, inner, max_size=3)),
    max_leaves=6,
)


@given(HOSTILE, st.dictionaries(HOSTILE.filter(lambda key: key not in LOGIN), JSON, max_size=3), st.randoms())
def test_no_value_that_a_stranger_fills_names_another_address(name: str, others: dict[str, Any], order: Any) -> None:
    members = [("remoteAddr", "203.0.113.9"), ("message", f"Login failed: {name}"), *others.items()]
    order.shuffle(members)
    assert found(LOGIN, json.dumps(dict(members), separators=(",", ":"))) in ("203.0.113.9", None)
    plain = [(key, given) for key, given in members if isinstance(given, str | int)]
    assert found(LOGIN, json.dumps(dict(plain))) == "203.0.113.9"


@given(st.text(), st.lists(st.sampled_from(["[^x]*", "[^]]*", ".*", "<USER>", "[[:alpha:]]+", "a|b", "[^a-]"])))
def test_what_a_pattern_matches_ends_with_its_value(text: str, parts: list[str]) -> None:
    line = json.dumps({"message": "a", "remoteAddr": "203.0.113.9", "x": text, "y": {"remoteAddr": "192.0.2.1"}})
    assert found({"message": f"a({''.join(parts)})?", "remoteAddr": "<ADDR>"}, line) == "203.0.113.9"


ENDS = ("[[:print:]]", "[[:punct:]]", "[!-~]", r"[a-z\\]", r"\S", r"\W")


@pytest.mark.parametrize(
    ("given_", "why"),
    [
        ({"a": 'x"y'}, "a quotation mark"),
        *(({"a": f"x{part}*", "b": "<ADDR>"}, "beyond the end of a value") for part in ENDS),
        ({"a": "x", "b": "x", "c": "x", "d": "x"}, "3 in one object"),
        ({"a": "x", "a.b": "x"}, "a.b lies within another"),
        ({"a.b": "x", "a": "x"}, "another one of them lies within a"),
    ],
)
def test_what_cannot_be_said_so_is_refused(given_: dict[str, str], why: str) -> None:
    with pytest.raises(RuleError, match=why):
        fields.regex(given_)


RULE = """
program: app
rules:
  - id: login-failed
    fields: {ip: '<ADDR>', what: 'login failed'}
    samples: [{line: '{"ip":"203.0.113.9","what":"login failed"}', address: 203.0.113.9}]
"""


def test_a_rule_has_either_a_match_or_fields() -> None:
    found, refused = attack.parse(RULE.encode(), "app.yaml")
    assert not refused
    assert dict(found[0].fields) == {"ip": "<ADDR>", "what": "login failed"}
    for old, new, why in (
        ("    samples", "    match: x\n    samples", "4: rules[0]: has both match and fields"),
        ("    fields: {ip: '<ADDR>', what: 'login failed'}\n", "", "4: rules[0]: needs match or fields"),
        ("'login failed'}\n", "'\"'}\n", "4: rules[0].fields: a quotation mark"),
        ("{ip: '<ADDR>', what: 'login failed'}", "{}", "5: rules[0].fields"),
        ("'login failed'}\n", "7}\n", "5: rules[0].fields.what"),
    ):
        assert old in RULE
        found, refused = attack.parse(RULE.replace(old, new, 1).encode(), "app.yaml")
        assert not found
        assert str(refused[0]).startswith(f"app.yaml:{why}")


# --- whom a member names --------------------------------------------------------------------------------------------

CADDY = Path(__file__).parent.parent / "attack.d" / "caddy.yaml"


@pytest.mark.skipif(hyperscan_version() is None, reason="logwarden was built without Hyperscan")
def test_who_sends_thousands_of_headers_is_named_and_has_no_rule_suspended() -> None:
    """Caddy logs each of them."""
    headers = {"X-Forwarded-For": ["192.0.2.1"], **{f"X-{number}": ["1"] for number in range(4_000)}}
    request = {"remote_ip": "203.0.113.9", "uri": "/", "headers": headers}
    line = json.dumps({"msg": "handled request", "request": request, "status": 401}, separators=(",", ":"))
    known, _ = attack.parse(CADDY.read_bytes(), "caddy.yaml")
    made = matcher.compile(RuleSet(attack=tuple(rule for rule in known if rule.fields)))
    judged = made.classify(Batch("file:/x", f"{line}\n".encode() * 30, 30, "", "caddy"), 1e9)
    assert {verdict.address for verdict in judged.verdicts} == {"203.0.113.9"}
    assert judged.notices == ()


@pytest.mark.parametrize(
    ("line", "address"),
    [
        ('{"a":1,"remoteAddr":"203.0.113.9","message":"Login failed: x"}', "203.0.113.9"),
        ('@cee: {"remoteAddr":"2001:db8::9"}', "2001:db8::9"),
        ('{"remoteAddr":"203.0.113.9","remoteAddr":"192.0.2.1"}', None),
        ('{"remoteAddr":"203.0.113.9","x":{"a":1,"a":1}}', None),
        ('{"x":{"remoteAddr":"192.0.2.1"}}', None),
        ('{"remoteAddr":["192.0.2.1"]}', None),
        ('{"remoteAddr":"192.0.2.1 "}', None),
        ('{"remoteAddr":"192.0.2.1"', None),
        ('{"x":' + "[" * 60_000, None),
        ("remoteAddr", None),
    ],
)
def test_the_source_that_a_member_names_is_read_without_the_regex_or_not_at_all(line: str, address: str | None) -> None:
    assert objects.source(tuple(LOGIN.items()), line.encode()) == (address.encode() if address else None)


def test_a_value_that_json_has_to_escape_is_what_the_pattern_sees() -> None:
    asked = (("message", "Login failed: user='.*' ip=<ADDR>"),)
    for user in ('x"y', "a\\b", "ü", "\u2028", "x' ip=192.0.2.1", "\ud800"):
        line = json.dumps({"message": f"Login failed: user='{user}' ip=203.0.113.9"}).encode()
        assert objects.source(asked, line) == b"203.0.113.9"


@given(st.lists(st.sampled_from(WRITTEN)).map("".join), st.sampled_from(("", "from ", "x ip=", ",")))
def test_what_a_member_says_is_read_as_it_is_written(value: str, start: str) -> None:
    line = f'{{"message":"{start}{value}"}}'
    for pattern in (".*<ADDR>.*", ".*ip=<HOST>.*", "(from <ADDR>)?.*", "[^,]*,<HOST>", r".*\\\\\"<ADDR>.*", ".*<ADDR>"):
        read = objects.source((("message", pattern),), line.encode())
        assert read is None or read.decode() == found({"message": pattern}, line)


def test_a_value_of_many_minds_is_left_to_the_regex() -> None:
    value = "a" * 1_500 + "b" * 1_500 + " 203.0.113.9"
    assert objects.source((("m", "(.*a.*b.*c|.*) <ADDR>"),), f'{{"m":"{value}"}}'.encode()) is None


def test_bytes_that_are_no_utf8_keep_no_source_from_being_read() -> None:
    for other in (b"\xff", b"\xed\xa0\x80", b"\xc3\xa9"):
        line = b'{"x":"%s","remoteAddr":"203.0.113.9","message":"Login failed: x"}' % other
        assert objects.source(tuple(LOGIN.items()), line) == b"203.0.113.9"
    assert objects.source((("é", "<ADDR>"),), '{"é":"203.0.113.9"}'.encode()) == b"203.0.113.9"


def test_where_two_fields_or_none_name_a_source_the_regex_says_which() -> None:
    assert objects.source((("a", "<ADDR>"), ("b", "<ADDR>")), b'{"a":"192.0.2.1","b":"192.0.2.1"}') is None
    assert objects.source((("a", "x"),), b'{"a":"x"}') is None
