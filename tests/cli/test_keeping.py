"""Settings and keys: where they are, who can read them, and which of several holds."""

from __future__ import annotations

import importlib.util
import json
import os
import stat
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import pytest

from glmclient import ConfigurationError
from glmclient.cli.store import places
from glmclient.cli.store.places import folder, is_private, needed, read_object, write_object
from glmclient.cli.store.settings import (
    SETTINGS,
    Settings,
    Stored,
    checked,
    stored_keys,
    write_keys,
)

from .conftest import Run

KEY = "0123456789abcdef0123456789abcdef.CanaryCanary1234"


def without(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Let packages be missing."""
    find = importlib.util.find_spec

    def found(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name in names else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", found)


# -- places ----------------------------------------------------------------------------------------


def test_the_platform_decides_where(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GLMCLIENT_HOME")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "c"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "s"))
    monkeypatch.setattr("sys.platform", "linux")
    for kind in ("config", "state"):
        found = folder(kind)
        assert found is not None
        assert "glmclient" in str(found)


def test_a_variable_names_another_place(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    assert folder("config") == folder("state") == home
    monkeypatch.setenv("GLMCLIENT_HOME", "~/glm")
    assert folder("config") == Path.home() / "glm"


def test_without_the_package_there_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLMCLIENT_HOME")
    without(monkeypatch, "platformdirs")
    assert folder("config") is None
    assert read_object("config", "x.json") == {}
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[cli\]'"):
        needed("state")


def test_a_place_is_made_for_its_owner_alone(home: Path) -> None:
    path = write_object("config", "x.json", {"a": "好"})
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_object("config", "x.json") == {"a": "好"}
    assert is_private(path)
    path.chmod(0o644)
    assert not is_private(path)
    assert is_private(home / "missing")


def test_a_place_that_cannot_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write_text("a file")
    assert read_object("config", "x.json") == {}
    with pytest.raises(ConfigurationError, match="cannot be made"):
        needed("config")
    home.unlink()
    (home / "x.json").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_object("config", "x.json")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        write_object("config", "x.json", {})


@pytest.mark.parametrize(
    ("text", "words"), [("{", "is not JSON"), ("[]", "must hold a JSON object")]
)
def test_a_damaged_file_is_told(home: Path, text: str, words: str) -> None:
    home.mkdir()
    (home / "x.json").write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        read_object("config", "x.json")


def test_nothing_is_read_from_the_working_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run: Run
) -> None:
    for name in ("settings.json", "keys.json", ".env", "glmclient.json", ".glmclient"):
        (tmp_path / name).write_text('{"provider": "zai", "zai": "key"}')
    monkeypatch.chdir(tmp_path)
    assert Stored.read().values == {}
    assert stored_keys() == {}
    assert "none" in run("keys").out


# -- which of several holds ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("provider", "zai", "zai"),
        ("timeout", "2.5", 2.5),
        ("plain", "on", True),
        ("usage", "NO", False),
        ("zai.model", "glm-4.6", "glm-4.6"),
        ("openai.base_url", "http://h/v1", "http://h/v1"),
        ("proxy", "socks5://user:password@h:1080", "socks5://user:password@h:1080"),
        ("system", "Be brief.", "Be brief."),
        ("cert", "client.pem", "client.pem"),
    ],
)
def test_settings_that_there_are(name: str, value: str, kept: Any) -> None:
    assert checked(name, value) == kept


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("provider", "openai2", "must be one of"),
        ("timeout", "soon", "seconds above 0"),
        ("timeout", "-1", "seconds above 0"),
        ("plain", "perhaps", "on or off"),
        ("proxy", "foo", "proxy must be a URL such as http://host:3128, .* not 'foo'"),
        ("proxy", "http://[", "proxy must be a URL"),
        ("proxy", "http://host:99999", "proxy must be a URL"),
        ("proxy", "ftp://user:password@host", "not 'host'"),
        ("zai.base_url", "foo", "zai.base_url must start with http:// or https:// .* got 'foo'"),
        ("system", " ", "must not be empty"),
        ("provder", "zai", "Did you mean 'provider'"),
        ("model", "x", "model'"),
        ("SERVICE.model", "x", "there is no setting"),
        ("zai.provider", "x", "there is no setting"),
        ("1234567890", "x", "`glmclient settings` lists them"),
    ],
)
def test_settings_that_there_are_not(name: str, value: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        checked(name, value)


def test_argument_then_environment_then_file_then_default() -> None:
    stored = Stored({"timeout": 3.0, "zai.model": "filed", "zai.base_url": "http://filed"})
    silent = Settings(stored, {})
    assert silent.get("timeout", 1.0) == 1.0
    assert silent.get("timeout") == 3.0
    assert silent.get("system") is None
    assert Settings(stored, {"GLMCLIENT_TIMEOUT": "2"}).get("timeout") == 2.0
    with pytest.raises(ConfigurationError, match="GLMCLIENT_TIMEOUT must be seconds"):
        Settings(stored, {"GLMCLIENT_TIMEOUT": "x"}).get("timeout")
    assert silent.model("zai", "given") == "given"
    assert silent.model("zai", None) == "filed"
    assert silent.model("qwen", None) is None
    assert Settings(stored, {"GLMCLIENT_MODEL": "said"}).model("zai", None) == "said"
    assert silent.base_url("zai", "http://given") == "http://given"
    assert silent.base_url("zai", None) == "http://filed"
    assert Settings(stored, {"ZAI_BASE_URL": "http://said"}).base_url("zai", None) is None
    with pytest.raises(ConfigurationError, match=r"ZAI_BASE_URL must start with .* got 'foo'"):
        Settings(stored, {"ZAI_BASE_URL": "foo"}).base_url("zai", None)


def test_the_same_order_holds_for_keys(home: Path) -> None:
    write_keys({"zai": "filed"})
    silent = Settings(Stored({}), {})
    assert silent.key("zai", "given") == "given"
    assert silent.key("zai", None) == "filed"
    assert silent.key("qwen", None) is None
    assert Settings(Stored({}), {"ZAI_API_KEY": "said"}).key("zai", None) is None


def test_a_file_with_a_wrong_setting_is_told(home: Path) -> None:
    home.mkdir()
    (home / "settings.json").write_text('{"timeot": 1}')
    with pytest.raises(ConfigurationError, match="Did you mean 'timeout'"):
        Settings()


def test_a_wrong_setting_is_named_and_can_be_mended(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.mkdir()
    kept = {"proxy": "foo", "zai.base_url": "bar", "usage": True}
    (home / "settings.json").write_text(json.dumps(kept))
    told = run("Hi")
    assert told.code == 2
    assert "proxy must be a URL" in told.err
    assert "'foo'" in told.err
    assert "`glmclient settings unset proxy`" in told.err
    shown = run("settings")
    assert (shown.code, "proxy = foo\n" in shown.out) == (2, True)
    assert "zai.base_url = bar\n" in shown.out
    assert run("settings", "set", "proxy", "http://127.0.0.1:9").code == 0
    assert "zai.base_url must start with" in run("Hi").err
    assert run("settings", "unset", "zai.base_url").code == 0
    assert run("settings").code == 0
    monkeypatch.setenv("GLMCLIENT_PROXY", "foo")
    assert "GLMCLIENT_PROXY must be a URL" in run("Hi").err
    monkeypatch.delenv("GLMCLIENT_PROXY")
    monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", "foo")
    wrong = run("Hi").err
    assert wrong.startswith("glmclient: GLMCLIENT_CHATGLM_BASE_URL must start with")
    assert wrong.endswith("got 'foo'.\n")


def test_the_users_words_are_left_alone(run: Run) -> None:
    ran = run("settings", "set", "base_url", "x")
    assert ran.code == 2
    assert "there is no setting 'base_url'. Did you mean 'zai.base_url'?" in ran.err
    assert "glmclient: zai.base_url must" in run("settings", "set", "zai.base_url", "x").err


def test_what_holds_while_nothing_is_set(run: Run) -> None:
    shown = run("settings").out
    assert "hide_reasoning is not set: the model's thinking is shown; on hides it\n" in shown
    assert "plain is not set: Markdown is rendered on a terminal; on leaves it as it is\n" in shown


# -- the commands ----------------------------------------------------------------------------------


def test_settings_are_kept_shown_and_forgotten(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("settings", "set", "provider", "zai").code == 0
    assert run("settings", "set", "usage", "yes").code == 0
    assert run("settings", "set", "zai.model", "glm-4.6").code == 0
    monkeypatch.setenv("GLMCLIENT_TIMEOUT", "9")
    shown = run("settings")
    assert "provider = zai\n" in shown.out
    assert "usage = on\n" in shown.out
    assert "zai.model = glm-4.6\n" in shown.out
    assert "timeout = 9   (from GLMCLIENT_TIMEOUT in the environment)\n" in shown.out
    assert "proxy is not set" in shown.out
    assert json.loads((home / "settings.json").read_text())["usage"] is True
    assert run("settings", "unset", "provider").code == 0
    assert "provider is not set" in run("settings").out
    missing = run("settings", "unset", "provider")
    assert (missing.code, missing.err) == (2, "glmclient: provider is not set.\n")
    assert run("settings", "set", "provder", "zai").code == 2
    assert run("settings", "path").out == f"{home / 'settings.json'}\n"


def test_keys_are_kept_and_never_shown(
    run: Run, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "zai       none" in run("keys").out
    kept = run("keys", "set", "zai", stdin=f"{KEY}\n")
    assert (kept.code, kept.out) == (0, "")
    assert stored_keys() == {"zai": KEY}
    assert stat.S_IMODE((home / "keys.json").stat().st_mode) == 0o600
    monkeypatch.setenv("HF_TOKEN", KEY)
    shown = run("keys")
    assert "zai       kept\n" in shown.out
    assert "qwen      from HF_TOKEN in the environment\n" in shown.out
    (home / "keys.json").chmod(0o644)
    assert "chmod 600" in run("keys").err
    assert KEY not in kept.out + kept.err + shown.out + shown.err
    assert run("keys", "path").out == f"{home / 'keys.json'}\n"
    assert run("keys", "remove", "zai").code == 0
    assert stored_keys() == {}
    assert run("keys", "remove", "zai").code == 2


def test_a_key_is_asked_for_without_being_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def prompt(question: str, **how: Any) -> str:
        asked.append(how)
        return KEY

    monkeypatch.setattr("click.prompt", prompt)
    assert run("keys", "set", "zai").code == 0
    assert asked == [{"hide_input": True, "err": True}]
    assert stored_keys() == {"zai": KEY}


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "nothing was given; no key was kept."),
        ("\n", "nothing was given; no key was kept."),
        ("two words\n", "a key is one word; nothing was kept."),
    ],
)
def test_what_is_no_key_is_not_kept(run: Run, typed: str, told: str) -> None:
    ran = run("keys", "set", "zai", stdin=typed)
    assert (ran.code, ran.err) == (2, f"glmclient: {told}\n")
    assert stored_keys() == {}


def test_without_a_place_nothing_can_be_kept(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GLMCLIENT_HOME")
    without(monkeypatch, "platformdirs")
    for command in (("keys", "path"), ("settings", "path"), ("settings", "set", "provider", "zai")):
        ran = run(*command)
        assert ran.code == 2
        assert places.INSTALL in ran.err
    assert run("keys").code == 0
    assert run("settings").code == 0


def test_every_setting_is_described() -> None:
    assert all(what for _, what in SETTINGS.values())
    assert os.environ["GLMCLIENT_HOME"]
