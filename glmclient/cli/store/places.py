"""Where settings, keys and the last conversation are kept; nothing is ever read from the working directory."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import stat
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from ...errors import ConfigurationError
from ...private_file import read_regular, write_private

__all__ = [
    "HOME",
    "INSTALL",
    "folder",
    "install_command",
    "is_private",
    "needed",
    "private_file",
    "read_object",
    "write_object",
]

HOME = "GLMCLIENT_HOME"
"""The variable that names one folder for everything, in place of the platform's own."""


def install_command(extra: str) -> str:
    """Return the command that installs an extra, for how glmclient itself was installed.

    A clone or a local folder is installed from there: the registry may have another version, or no such name.
    """
    try:
        source = json.loads(distribution("glmclient").read_text("direct_url.json") or "{}")
    except (PackageNotFoundError, ValueError):
        source = {}
    usual, url = f"pip install 'glmclient[{extra}]'", str(source.get("url", ""))
    if not url.startswith("file://"):
        return usual
    edit = "-e " if source.get("dir_info", {}).get("editable") else ""
    place = url2pathname(urlsplit(url).path)
    return f"{usual} (or, from the folder that it was installed from: pip install {edit}'{place}[{extra}]')"


LARGEST = 1_000_000
"""Bytes of a settings or keys file at most."""
INSTALL = install_command("cli")


def folder(kind: str) -> Path | None:
    """Return the folder for ``config`` or ``state``; ``None`` where nobody knows the platform's place."""
    own = os.environ.get(HOME, "").strip()
    if own:
        return Path(own).expanduser()
    if importlib.util.find_spec("platformdirs") is None:
        return None
    import platformdirs

    find = platformdirs.user_config_path if kind == "config" else platformdirs.user_state_path
    return find("glmclient", appauthor=False)


def needed(kind: str) -> Path:
    """Return the folder, made if it is not there yet, for its owner alone.

    Raises:
        ConfigurationError: nobody knows the platform's place, or the folder cannot be made.
    """
    found = folder(kind)
    if found is None:
        raise ConfigurationError(
            f"to keep something between two runs, one more package is needed: {INSTALL}. Or name a folder for it "
            f"in {HOME}."
        )
    try:
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
        _close_to_others(found)
    except OSError as error:
        raise ConfigurationError(f"the folder {found} cannot be made: {error.strerror}.") from None
    return found


def _close_to_others(path: Path) -> None:
    """Take the rights of other users from a folder or file that was made with more of them."""
    if not is_private(path):
        with contextlib.suppress(PermissionError):  # another user owns it, and decides
            path.chmod(stat.S_IMODE(path.stat().st_mode) & 0o700)


def private_file(path: Path) -> Path:
    """Make a file of mode 0600 if there is none, take the rights of others from one that exists, and return it.

    Raises:
        ConfigurationError: it is not a regular file, or cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | getattr(os, "O_NONBLOCK", 0), 0o600))
        if not path.is_file():
            raise ConfigurationError(f"{path} is not a regular file. Remove it.")
        _close_to_others(path)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def read_object(kind: str, name: str) -> dict[str, Any]:
    """Return the JSON object in a file; an empty one if there is no such file.

    Raises:
        ConfigurationError: the file cannot be read, or holds something else.
    """
    place = folder(kind)
    if place is None:
        return {}
    path = place / name
    try:
        value = json.loads(read_regular(path, LARGEST))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not JSON: {error}. Mend or remove it.") from None
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path} must hold a JSON object. Mend or remove it.")
    return value


def write_object(kind: str, name: str, value: dict[str, Any]) -> Path:
    """Write a JSON object to a file of mode 0600, and return where it is.

    Raises:
        ConfigurationError: it cannot be written.
    """
    path = needed(kind) / name
    try:
        write_private(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be written: {error.strerror}.") from None
    return path


def is_private(path: Path) -> bool:
    """Tell whether nobody but its owner can read a file; a missing one is private."""
    try:
        return not stat.S_IMODE(path.stat().st_mode) & 0o077 or os.name == "nt"
    except OSError:
        return True
