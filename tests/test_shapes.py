"""Lines of one kind come together, and stay together over digests, restarts and floods."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from pathlib import Path

import pytest
from grouping import accuracy, main
from hypothesis import given
from hypothesis import strategies as st

from logwarden.digest import Shapes
from logwarden.digest import shapes as limits
from logwarden.digest.cluster import Cluster
from logwarden.digest.mask import mask, pieces

USERS = ("root", "alice", "bob", "carol", "oracle", "git", "test9")
HOSTS = ("mail.example.org", "198.51.100.7", "2001:db8::25", "ns1.example.net")
SAMPLE = (
    "Failed password for {user} from {address} port {number} ssh2",
    "Failed none for invalid user {user} from {address} port {number} ssh2",
    "Accepted publickey for {user} from {address} port {number} ssh2: ED25519 SHA256:{hex}",
    "pam_unix(sshd:session): session opened for user {user} by (uid={number})",
    "pam_unix(sshd:session): session closed for user {user}",
    "Connection closed by {address} port {number} [preauth]",
    "Connection reset by {address} port {number} [preauth]",
    "authentication failure; logname= uid={number} euid=0 tty=ssh ruser= rhost={host}",
    "connect from {host} () at Mon Jan  5 10:{number}:00 2026",
    "connect from {host} ({host}) at Tue Feb 17 11:{number}:00 2026",
    "worker {number} finished {path} in {number}.{number}ms",
    "queue is {path}/{hex}: full",
    "link is up",
    "link is down",
)
ONE_EVENT = {9: 8}  # the two spellings of `connect from` are one kind


def lines(count: int = 40) -> list[tuple[int, str]]:
    """`count` lines of each kind, shuffled; with the number of the kind."""
    chance = random.Random(1)
    made = [(ONE_EVENT.get(kind, kind), filled(text, chance)) for kind, text in enumerate(SAMPLE) for _ in range(count)]
    chance.shuffle(made)
    return made


def filled(text: str, chance: random.Random) -> str:
    return text.format(
        user=chance.choice(USERS),
        host=chance.choice(HOSTS),
        address=f"192.0.2.{chance.randrange(256)}",
        number=chance.randrange(10, 60),
        hex=f"{chance.getrandbits(48):012x}",
        path=f"/srv/{chance.choice(USERS)}",
    )


def learned(messages: Iterable[str], program: str = "app") -> Shapes:
    shapes = Shapes()
    for message in messages:
        shapes.learn(program, message, 1.0)
    return shapes


def ids(shapes: Shapes, *messages: str, program: str = "app") -> list[str]:
    return [shapes.learn(program, message, 2.0).id for message in messages]


def test_mixed_lines_of_fourteen_kinds_come_apart_again() -> None:
    made = lines()
    shapes = learned(message for _, message in made)
    assert accuracy(ids(shapes, *(message for _, message in made)), [kind for kind, _ in made]) == 1.0


@pytest.mark.parametrize(("events", "status"), [("a b a", 0), ("a a a", 1)])
def test_each_log_of_a_folder_must_reach_the_goal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], events: str, status: int
) -> None:
    (tmp_path / "ours.log").write_text("link is up\nthe disk is full again\nlink is up\n")
    (tmp_path / "unknown.log").write_text("odd\n")
    assert main([str(tmp_path)]) == 2
    (tmp_path / "ours.events").write_text("\n".join(events.split()))
    assert main([str(tmp_path)]) == main([str(tmp_path / "ours.log")]) == status
    said = capsys.readouterr().out
    assert "0.9500" in said
    assert "unknown" not in said


def test_the_shape_given_for_a_line_becomes_part_of_the_final_one() -> None:
    made = lines()
    shapes = Shapes()
    given_at_once = [shapes.learn("app", message, 1.0) for _, message in made]
    assert [shape.root.id for shape in given_at_once] == ids(shapes, *(message for _, message in made))


def test_a_word_with_few_values_is_a_choice_and_with_many_a_variable() -> None:
    few = learned(["link is up", "link is down", "link is flaky"])
    assert len(set(ids(few, "link is up", "link is down", "link is flaky"))) == 3
    states = [f"the machine was {state}" for state in ("started", "paused", "resumed", "stopped")]
    assert len(set(ids(learned(states), *states))) == 4
    many = learned(f"{user} logged in" for user in USERS)
    assert len(set(ids(many, "root logged in", "zoe logged in"))) == 1


def test_what_follows_user_is_a_name_however_few_there_are() -> None:
    message = "session opened for user {} by (uid=0)"
    known = Shapes()
    shape = known.learn("login", message.format("root"), 1.0)
    assert known.learn("login", message.format("eve"), 1.0) is shape
    assert [part.text for part in shape.mark(message.format("eve")) if part.variable] == ["eve", "0"]


def test_a_size_in_other_units_and_the_other_truth_value_make_no_other_kind() -> None:
    shapes = Shapes()
    sizes = ids(shapes, "stored (size 512.0 KB, free 3.1 GB)", "stored (size 1.5 MB, free 980.0 KiB)")
    truth = ids(shapes, "the screen is on: true", "the screen is on: false")
    assert (len(set(sizes)), len(set(truth))) == (1, 1)


def test_an_amount_is_one_word_whatever_its_unit_and_form() -> None:
    times = [f"took {amount} to build" for amount in ("1 second", "20.58 seconds", "3 ms", "<1 sec", "00:12")]
    shapes = learned(times)
    assert len(set(ids(shapes, *times))) == 1
    shape = shapes.learn("app", "took 7  seconds to build", 1.0)
    assert [(part.text, part.variable) for part in shape.mark("took 7  seconds to build")] == [
        ("took ", False), ("7  seconds", True), (" to build", False),
    ]  # fmt: skip
    assert [part.text for part in shape.mark("took 7 seconds to build", {1}) if part.variable] == ["7 seconds"]


def test_capitalised_first_words_are_told_apart_though_there_are_many() -> None:
    """An Apache was starting, stopped and reloading, and none of it could be seen in the kind that was told."""
    verbs = ("Starting", "Started", "Stopping", "Stopped", "Reloading", "Reloaded", "Finished", "Mounted")
    lines = [f"{verb} apache2.service - The Apache HTTP Server." for verb in verbs]
    assert len(set(ids(learned(lines), *lines))) == len(verbs)


UNREAD = (
    "{label} {number} 2005.06.03 R{number}-M0-C:J12 2005-06-03-15.42.50.{number} RAS {part} {level} {text}",
    "0811{number} 2036{number} {number} {level} {text}",
    "03-17 16:13:38.{number}  {number}  23{number} {letter} {text}",
)


@pytest.mark.parametrize("header", UNREAD)
@pytest.mark.parametrize("program", ["", "*"])
def test_a_header_that_nobody_could_read_makes_no_kinds_and_no_likeness(header: str, program: str) -> None:
    """A stamp and a level agreed in most of a short line, whatever it said, or differed where it said the same."""
    texts = ("data address: {number}", "core register: {number}", "power is down", "rack is gone", "disk {number} full")
    texts += ("fan {number} stopped", "node card missing", "lost the lease", "cache was flushed")
    chance = random.Random(3)
    made = []
    for kind in [chance.randrange(len(texts)) for _ in range(300)]:
        level = chance.choice(("INFO", "ERROR", "FATAL"))
        fields = {
            "label": chance.choice(("-", "APPREAD", "KERNSTOR")), "number": chance.randrange(10, 99), "level": level,
            "letter": level[0], "part": chance.choice(("KERNEL", "APP")),
        }  # fmt: skip
        made.append((kind, header.format(text=texts[kind].format(**fields), **fields)))
    shapes = learned((line for _, line in made), program)
    assert accuracy(ids(shapes, *(line for _, line in made), program=program), [kind for kind, _ in made]) == 1.0
    assert "".join(part.text for part in shapes.learn(program, made[0][1], 1.0).mark(made[0][1])) == made[0][1]


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        ("app", ["12 34 ERROR disk gone", "56 78 ERROR disk gone", "12 34 FATAL disk gone"]),
        ("", ["2 of 3 disks ERROR now", "2 of 4 disks ERROR now", "2 of 4 pools ERROR now"]),
        ("", ["ERROR in 12 34 here", "ERROR in 56 78 here", "INFO in 56 78 here"]),
    ],
)
def test_what_is_no_such_header_is_part_of_the_message(program: str, lines: list[str]) -> None:
    first, second, third = ids(learned(lines, program), *lines, program=program)
    assert first == second != third


def test_an_empty_value_is_of_the_shape_of_a_full_one() -> None:
    shapes = learned(["from () done", "from (192.0.2.1) done"])
    assert len(set(ids(shapes, "from () done", "from (192.0.2.1) done"))) == 1


def test_programs_do_not_share_shapes_but_a_library_that_speaks_in_many_does() -> None:
    shapes = Shapes()
    assert shapes.learn("a", "it broke", 1.0).id != shapes.learn("b", "it broke", 1.0).id
    assert shapes.learn("su(pam_unix)", "it broke", 1.0).id == shapes.learn("sshd(pam_unix)", "it broke", 1.0).id


def test_ids_are_made_of_what_the_lines_say() -> None:
    first, second = Shapes(), Shapes()
    second.learn("other", "something else came first", 1.0)
    assert ids(first, "worker 7 died") == ids(second, "worker 8 died")
    assert len(ids(first, "worker 7 died")[0]) == 8


def test_a_merged_shape_keeps_the_id_of_the_eldest_and_answers_to_the_others() -> None:
    shapes = Shapes()
    names = ids(shapes, *(f"user {user} logged in" for user in USERS))
    eldest = names[0]
    assert ids(shapes, "user root logged in", "user bob logged in") == [eldest, eldest]
    found = shapes.get(names[1])
    assert found is not None
    assert (found.id, found.template) == (eldest, "user <*> logged in")
    assert shapes.get("nonsense") is None


def test_what_is_written_to_disk_and_read_again_knows_the_same_shapes() -> None:
    made = [message for _, message in lines()]
    shapes = learned(made)
    again = Shapes.load(json.loads(json.dumps(shapes.dump())))
    assert ids(again, *made) == ids(shapes, *made)
    assert again.learn("app", "link is up", 3.0).first == 1.0
    assert [shape.template for shape in again._all()] == [shape.template for shape in shapes._all()]


def test_learning_goes_on_after_a_restart_as_if_there_had_been_none() -> None:
    made = [message for _, message in lines()]
    half = Shapes.load(json.loads(json.dumps(learned(made[:200]).dump())))
    for message in made[200:]:
        half.learn("app", message, 1.0)
    assert ids(half, *made) == ids(learned(made), *made)


@pytest.mark.parametrize("data", [None, [], {}, {"format": 0, "clusters": 7}, "x"])
def test_what_another_version_wrote_is_as_if_it_had_not_been_kept(data: object) -> None:
    assert list(Shapes.load(data)._all()) == []


def test_a_shape_knows_when_it_was_first_and_last_seen() -> None:
    shapes = Shapes()
    shapes.learn("app", "worker 1 died", 100.0)
    shape = shapes.learn("app", "worker 2 died", 50.0)
    assert (shape.first, shape.last) == (100.0, 100.0)
    assert shapes.learn("app", "worker 3 died", 200.0).last == 200.0


# --- bounds -------------------------------------------------------------------------------------------------


def spell(number: int) -> str:
    """A number in letters alone, which no mask hides."""
    return "".join(chr(ord("a") + int(digit)) for digit in str(number))


def test_a_flood_of_kinds_ends_in_one_shape_and_the_next_period_has_room_again() -> None:
    shapes = learned(f"{spell(n)} {spell(n * 7)} {spell(n * 13)}" for n in range(2 * limits.CLUSTERS))
    assert ids(shapes, "something wholly new", "yet another thing") == [shapes.learn("app", "the one rest", 2.0).id] * 2
    again = Shapes.load(json.loads(json.dumps(shapes.dump())))
    assert len(set(ids(again, "something wholly new", "yet another thing"))) == 2


@pytest.mark.slow
def test_a_flood_of_lines_that_have_no_word_in_common_is_compared_with_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger who writes such lines, long ones and of each length, held up the digest for minutes."""
    compared: list[str] = []
    similarity = Cluster.similarity
    monkeypatch.setattr(Cluster, "similarity", lambda self, words: compared.append("") or similarity(self, words))
    shapes = learned(f"{letters} {letters}{letters} x{letters}" for letters in map(spelled, range(200)))
    assert compared == []
    shapes = Shapes.load(json.loads(json.dumps(shapes.dump())))
    assert shapes.learn("app", "aaaz aaaz xaaaz", 1.0).template == "aaaz aaaz xaaaz"
    near = f"{spelled(7)} {spelled(7) * 2} odd"
    shapes.learn("app", near, 1.0)
    assert compared == [""]


def test_a_flood_of_each_length_ends_in_one_shape_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SPEAKER", 100)
    shapes = learned(" ".join([spelled(number)] * (1 + number % 20)) for number in range(300))
    late = [shapes.learn("app", " ".join([spelled(number)] * (1 + number % 20)), 1.0) for number in (298, 299)]
    assert late[0] is late[1]
    assert shapes.learn("other", "quite another program", 1.0) is not late[0]
    again = Shapes.load(shapes.dump())
    assert again.learn("app", "there is room again", 2.0).template == "there is room again"


def spelled(number: int) -> str:
    """A word of letters for a number."""
    return "".join(chr(97 + (number >> 4 * place & 15)) for place in range(4))


def test_a_flood_does_not_take_the_place_of_what_is_known() -> None:
    shapes = learned(["disk sda is failing"])
    known = ids(shapes, "disk sda is failing")
    for n in range(2 * limits.CLUSTERS):
        shapes.learn("app", f"{spell(n)} {spell(n * 7)} {spell(n * 13)} x", 1.0)
    assert ids(shapes, "disk sda is failing") == known


def test_a_flood_of_programs_is_bounded_in_memory_and_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SHAPES", 500)
    monkeypatch.setattr(limits, "KEPT_SHAPES", 100)
    shapes = Shapes()
    for n in range(5_000):
        shapes.learn(f"program{n}", "it broke", float(n))
    assert len(list(shapes._all())) <= 501
    assert len(shapes._buckets) <= 500
    kept = shapes.dump()["clusters"]
    assert len(kept) == 100
    assert min(last for _, _, ((_, _, _, last, _),) in kept) == 400.0  # those seen last


def test_the_rows_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHED_WORDS", 100)
    shapes = learned(f"user {spell(n)} logged in" for n in range(1000))
    assert len(shapes._rows) <= 100
    assert len(set(ids(shapes, "user root logged in", "user bob logged in"))) == 1


# --- masks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "masked"),
    [
        ("4242", "<*>"),
        ("(4242),", "(<*>),"),
        ("port=22;", "port=<*>;"),
        ("rhost=192.0.2.1", "rhost=<*>"),
        ("[192.0.2.1]:25", "[<*>]:<*>"),
        ("192.0.2.1:25", "<*>"),
        ("fe80::1%eth0", "<*>"),
        ("2001:db8::1", "<*>"),
        ("00:1b:44:11:3a:b7", "<*>"),
        ("10:15:59.123", "<*>"),
        ("2026-01-02T03:04:05+01:00", "<*>"),
        ("550e8400-e29b-41d4-a716-446655440000", "<*>"),
        ("0x7f00c0de", "<*>"),
        ("/var/log/syslog.1", "<*>"),
        ("C:\\Windows\\Temp", "<*>"),
        ("https://example.org/x?y=1", "<*>"),
        ("to=<root@example.org>,", "to=<<*>>,"),
        ("mail.example.org", "<*>"),
        ("blk_-1608", "blk_<*>"),
        ("req-7f3a9c", "req-<*>"),
        ("Sat", "<*>"),
        ("1,2,3", "<*>"),
        ("false", "<*>"),
        ("opt-in=true,", "opt-in=<*>,"),
        ("KB)", "<*>)"),
        ("12 seconds,", "<*>,"),
        ("(1.26  KB)", "(<*>)"),
        ("time=7 ms", "time=<*>"),
        ("<1 sec", "<<*>"),
        ("see 7", "see <*>"),
        ("trueish", "trueish"),
        ("sshd[42]:", "sshd[<*>]:"),
        ("root", "root"),
        ("user=root", "user=root"),
        ("java.io.IOException:", "java.io.IOException:"),
        ("pam_unix(sshd:session):", "pam_unix(sshd:session):"),
        ("postfix/smtpd", "postfix/smtpd"),
        ("done...", "done..."),
        ("-", "-"),
    ],
)
def test_what_is_variable_at_sight_is_masked(word: str, masked: str) -> None:
    assert mask(word) == masked


@given(st.text(max_size=40) | st.text(alphabet="aF0:/.@-_=<>*[](),\\%", max_size=40))
def test_pieces_of_a_word_are_the_word(word: str) -> None:
    assert "".join(text for text, _ in pieces(word)) == word
    assert isinstance(mask(word), str)


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece", ["a", "0", ":", "a:", "/", "a.", "@", "a@", "x://", "<*>", "<*>:", "-", "a1_", "\\", "%"]
)
def test_a_hostile_word_takes_time_in_proportion_to_its_length(piece: str) -> None:
    """Judged by what it takes at all: a quadratic mask needs minutes for this."""
    mask(piece * (200_000 // len(piece)))


@given(st.lists(st.text(alphabet="ab <*>1=", min_size=1, max_size=12), min_size=1, max_size=12))
def test_whatever_the_lines_learning_them_again_changes_nothing(messages: list[str]) -> None:
    shapes = learned(messages)
    once = ids(shapes, *messages)
    assert ids(shapes, *messages) == once
    for message in messages:
        shape = shapes.learn("app", message, 1.0)
        assert "".join(part.text for part in shape.mark(message)) == message.strip()
        assert "".join(part.text for part in shape.mark(message, {0, 2})) == message.strip()
