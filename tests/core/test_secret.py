"""What holds a key, and what is done so that it does not show."""

from __future__ import annotations

import pickle

import pytest

from glmclient import ProtocolError
from glmclient.core.secrets import Secret, credentials, is_credential, mask

KEY = "canary-0123456789"


def test_a_secret_shows_itself_nowhere_but_where_it_is_asked() -> None:
    secret = Secret(KEY)
    assert secret.reveal() == KEY
    assert KEY not in f"{secret} {secret!r} {[secret]}"
    with pytest.raises(TypeError, match="never pickled") as caught:
        pickle.dumps(secret)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "authorization", "Proxy-Authorization", "X-HF-Authorization"),
        *("Cookie", "Set-Cookie", "X-API-Key", "api-key", "X-Auth-Token", "X-Session-Id"),
        *("X-Secret", "X-Password"),
    ],
)
def test_headers_that_hold_credentials(name: str) -> None:
    assert is_credential(name)


@pytest.mark.parametrize("name", ["Accept", "User-Agent", "X-Device-Id", "Content-Type", "Origin"])
def test_headers_that_do_not(name: str) -> None:
    assert not is_credential(name)


def test_credentials_are_found_without_scheme_and_name() -> None:
    headers = {
        "Authorization": f"Bearer {KEY}",
        "X-Api-Key": f"{KEY}-plain=",
        "Cookie": f"a=short; session={KEY}-cookie; nameless-and-long-enough",
        "Accept": "text/event-stream",
    }
    assert set(credentials(headers)) == {KEY, f"{KEY}-plain=", f"{KEY}-cookie"}


def test_the_word_of_a_guest_is_no_secret() -> None:
    assert list(credentials({"Authorization": "undefined"})) == []


def test_masking() -> None:
    secrets = frozenset([KEY, "another-secret"])
    error = ProtocolError(f"{KEY}, {KEY} and another-secret", frame=f"<{KEY}>", attempts=3)
    mask(error, secrets)
    assert str(error) == "***, *** and ***"
    assert (error.frame, error.attempts) == ("<***>", 3)
    before = vars(error).copy()
    mask(error, frozenset())
    assert vars(error) == before
