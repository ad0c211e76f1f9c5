"""The description that a Gradio app gives of itself: its components, its functions, and what starts them.

The answer of ``GET /config`` holds all of it (``docs/wire/gradio.md`` §1), the names of parameters apart, which
``/info`` tells. :mod:`glmclient.providers.gradio.shapes` finds the chat in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ...errors import ProtocolError
from .wire import DIFFS, FULL_VALUES

__all__ = ["Component", "Function", "Page", "app_number"]

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*/?")
"""Only a path below the base URL: anything else behind the configured host could name another host, and the segments
``.`` and ``..`` lead to another application of the same host."""
_LONGEST_PREFIX = 200

_SHOWN_WORD = 200
_SHOWN_SIGNATURE = 500

_NOT_PARAMETERS = ("state", "browserstate", "button", "uploadbutton", "downloadbutton")
"""Inputs that ``/info`` leaves out of a function's parameters."""


@dataclass(frozen=True, slots=True)
class Component:
    """One component of the page.

    Args:
        id: its number on the page.
        type: its kind in lower case, such as ``textbox``; ``missing`` if the page does not describe it.
        props: its properties, as the page tells them.
    """

    id: int | str
    type: str
    props: Mapping[str, Any]

    @property
    def label(self) -> str:
        """The label that a reader of the page sees; empty if it has no label."""
        label = _word(self.props.get("label")).strip()
        return "" if label.startswith("__i18n__") else label

    @property
    def value(self) -> Any:
        """The value that the page shows at first."""
        return self.props.get("value")

    @property
    def hidden(self) -> bool:
        """The page does not show it."""
        return self.props.get("visible") in (False, "hidden")


@dataclass(frozen=True, slots=True)
class Function:
    """One function of the page.

    Args:
        index: its ``fn_index``.
        name: its ``api_name``; empty if it has none.
        triggers: the components and events that start it, such as ``(25, "submit")``.
        after: the index of the function that it runs after, if it is the next link of a chain.
        inputs: what it takes, in order.
        outputs: what it gives, in order.
        public: the page offers it to programs; the others serve the page itself.
        runs: the server runs it; the others run in the browser.
        names: the name of each input's parameter, where ``/info`` has it; otherwise empty.
    """

    index: int
    name: str
    triggers: tuple[tuple[int, str], ...]
    after: int | None
    inputs: tuple[Component, ...]
    outputs: tuple[Component, ...]
    public: bool = True
    runs: bool = True
    names: tuple[str, ...] = ()

    @property
    def trigger(self) -> int | None:
        """The first component that starts it."""
        return self.triggers[0][0] if self.triggers else None

    def parameter(self, id: int | str) -> str:
        """Return the name of the parameter that takes the component ``id``; empty if it is not known."""
        for component, name in zip(self.inputs, self.names, strict=False):
            if component.id == id:
                return name
        return ""

    def signature(self) -> str:
        """Return its name, its number and the types that it takes and gives, for messages."""
        inputs = ", ".join(component.type for component in self.inputs)
        outputs = ", ".join(component.type for component in self.outputs)
        shown = f"{self.name or 'unnamed'} (fn_index {self.index}): ({inputs}) -> ({outputs})"
        return shown[:_SHOWN_SIGNATURE]


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of ``GET /config`` (``docs/wire/gradio.md`` §1).

    Args:
        version: of Gradio, as text.
        diffs: updates come as edits of the value before; otherwise each is the whole value.
        prefix: the path below the base URL under which the queue is.
        functions: what the page can do.
        cookies: what to send back, so that a replicated service keeps the session in one place.
        app: the number that the app drew when it started, as text; empty if it tells none.
        named: the names of parameters were asked for, whether the app has any or not.
    """

    version: str
    diffs: bool
    prefix: str
    functions: tuple[Function, ...]
    cookies: Mapping[str, str]
    app: str = ""
    named: bool = False

    @classmethod
    def parse(
        cls, config: Mapping[str, Any], cookies: Mapping[str, str], address: str = "/config"
    ) -> Page:
        """Read a page, which came from ``address``.

        Raises:
            ProtocolError: it is not a Gradio page, or its protocol is not supported.
        """
        dependencies, components = config.get("dependencies"), config.get("components")
        if not isinstance(dependencies, list) or not isinstance(components, list):
            raise ProtocolError(
                f"the answer of {address} is not a description of a Gradio app (no lists `dependencies` and "
                "`components`). Check base_url."
            )
        version = _word(config.get("version")) or "unknown"
        known = {
            each["id"]: _component(each)
            for each in components
            if isinstance(each, dict) and isinstance(each.get("id"), (int, str))
        }
        return cls(
            version,
            _sends_diffs(config.get("protocol"), version),
            _prefix(config.get("api_prefix")),
            tuple(
                _function(number, each, known)
                for number, each in enumerate(dependencies)
                if isinstance(each, dict)
            ),
            dict(cookies),
            app_number(config),
        )

    @property
    def major(self) -> int:
        """The first number of the version; 0 if it is not a number."""
        major = self.version.partition(".")[0]
        return int(major) if major.isascii() and major.isdigit() and len(major) < 9 else 0

    def with_names(self, info: Mapping[str, Any] | None) -> Page:
        """Return the page with the names of parameters that the answer of ``/info`` holds.

        Args:
            info: the answer; ``None`` if the app has none.
        """
        endpoints = {} if info is None else info
        named, unnamed = endpoints.get("named_endpoints"), endpoints.get("unnamed_endpoints")
        named = named if isinstance(named, dict) else {}
        unnamed = unnamed if isinstance(unnamed, dict) else {}
        return replace(
            self,
            named=True,
            functions=tuple(
                replace(
                    each,
                    names=_names(
                        each.inputs, named.get(f"/{each.name}", unnamed.get(str(each.index)))
                    ),
                )
                for each in self.functions
            ),
        )


def app_number(answer: Mapping[str, Any]) -> str:
    """Return the number that an app drew when it started, from its page or from ``/app_id``; empty if it tells none."""
    number = answer.get("app_id")
    return str(number) if _is_number(number) else _word(number)


def _sends_diffs(protocol: Any, version: str) -> bool:
    if protocol in DIFFS:
        return True
    if protocol in FULL_VALUES:
        return False
    named = _word(protocol) or "ws"  # 3.x names none (§1)
    raise ProtocolError(
        f"the service speaks Gradio's protocol {named!r} (Gradio {version}); supported are "
        f"{', '.join((*FULL_VALUES, *DIFFS))}, which Gradio speaks from 4.9 on. "
        "Ask its owner for a newer Gradio, or use another service."
    )


def _prefix(prefix: Any) -> str:
    if prefix is None:
        return ""  # 4.x has none
    if (
        not isinstance(prefix, str)
        or len(prefix) > _LONGEST_PREFIX
        or not _PREFIX.fullmatch(prefix)
    ):
        raise ProtocolError(
            f"the page's api_prefix is not a path below base_url: {_word(prefix)!r}. Check base_url."
        )
    return prefix.rstrip("/")


def _component(described: Mapping[str, Any]) -> Component:
    props = described.get("props")
    return Component(
        described["id"],
        _word(described.get("type")).lower() or "unknown",
        props if isinstance(props, dict) else {},
    )


def _function(
    number: int, described: Mapping[str, Any], known: Mapping[Any, Component]
) -> Function:
    index, name, after = (described.get(key) for key in ("id", "api_name", "trigger_after"))
    return Function(
        # Up to 4.19 the position in the list is the id (§1).
        index if isinstance(index, int) and _is_number(index) else number,
        _word(name),
        tuple(_triggers(described.get("targets"))),
        after if _is_number(after) else None,
        _components(described.get("inputs"), known),
        _components(described.get("outputs"), known),
        described.get("show_api") is not False
        and described.get("api_visibility") not in ("undocumented", "private")
        and name is not False,
        described.get("backend_fn") is not False,
    )


def _components(ids: Any, known: Mapping[Any, Component]) -> tuple[Component, ...]:
    if not isinstance(ids, list):
        return ()
    return tuple(
        known[each]
        if isinstance(each, (int, str)) and each in known
        else Component(str(each)[:_SHOWN_WORD], "missing", {})
        for each in ids
    )


def _triggers(targets: Any) -> Iterable[tuple[int, str]]:
    """Yield what starts a function: ``[[id, event], ...]``; other functions have no id."""
    for target in targets if isinstance(targets, list) else ():
        if isinstance(target, list) and len(target) > 1 and _is_number(target[0]):
            yield target[0], _word(target[1])


def _names(inputs: tuple[Component, ...], endpoint: Any) -> tuple[str, ...]:
    """Return the name of each input's parameter, in the order of the inputs; empty if they do not match."""
    parameters = endpoint.get("parameters") if isinstance(endpoint, dict) else None
    visible = [each for each in inputs if each.type not in _NOT_PARAMETERS]
    if not isinstance(parameters, list) or len(parameters) != len(visible):
        return ()
    names = iter(
        _word(each.get("parameter_name")) if isinstance(each, dict) else "" for each in parameters
    )
    return tuple("" if each.type in _NOT_PARAMETERS else next(names) for each in inputs)


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _word(value: Any) -> str:
    """Return a string of the page, bounded; anything else is an empty string."""
    return value[:_SHOWN_WORD] if isinstance(value, str) else ""
