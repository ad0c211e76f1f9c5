"""Ids, with chance handed in."""

from __future__ import annotations

import pickle
import random
import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.identity import Identity, device_id, request_id, session_hash


@given(st.integers(0, 2**128 - 1))
def test_a_device_id_is_a_uuid4_in_hex(value: int) -> None:
    made = device_id(lambda count: value & (1 << count) - 1)
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    parsed = uuid.UUID(made)
    assert parsed.version == 4
    assert parsed.variant == uuid.RFC_4122


@given(st.integers(0, 2**64 - 1))
def test_a_session_hash_is_eleven_letters_and_digits(value: int) -> None:
    assert re.fullmatch(r"[a-z0-9]{11}", session_hash(lambda count: value & (1 << count) - 1))


def test_every_letter_and_digit_can_come() -> None:
    source = random.Random(5).getrandbits
    assert len(set("".join(session_hash(source) for _ in range(200)))) == 36


def test_a_request_id_is_of_the_platform_s_length() -> None:
    made = request_id(random.Random(5).getrandbits)
    assert made.startswith("glmclient-")
    assert 6 <= len(made) <= 64


def test_the_system_gives_different_ids() -> None:
    one, other = Identity(), Identity()
    assert one.device_id() != other.device_id()
    assert one.session_hash() != one.session_hash()
    assert one.request_id() != other.request_id()
    assert 0 <= one.chance() < 1


def test_ids_of_a_test_are_used_for_everything() -> None:
    identity = Identity(ids=iter("abc").__next__, chance=lambda: 0.25)
    assert [identity.device_id(), identity.session_hash(), identity.request_id()] == ["a", "b", "c"]
    assert identity.chance() == 0.25


def test_bits_of_a_test_make_the_same_ids_again() -> None:
    ids = [Identity(bits=random.Random(7).getrandbits).device_id() for _ in range(2)]
    assert ids[0] == ids[1]


def test_an_identity_is_pickled_as_what_it_was_given() -> None:
    copy = pickle.loads(pickle.dumps(Identity()))
    assert copy.device_id() != copy.device_id()
    seeded = pickle.loads(pickle.dumps(Identity(bits=random.Random(7).getrandbits)))
    assert seeded.device_id() == Identity(bits=random.Random(7).getrandbits).device_id()
