"""What ``%load_ext glmclient`` adds to a notebook, and ``%unload_ext glmclient`` takes away."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, GLMError
from .live import display_error, draws

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from .magics import GLMMagics

__all__ = ["load_ipython_extension", "unload_ipython_extension"]


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add ``%glm`` and ``%%glm``, and show errors of this package as cards: ``%load_ext glmclient``.

    Raises:
        ConfigurationError: a package of the extra is missing; the error names the command that installs it.
    """
    try:
        import markdown_it  # noqa: F401 - to say now, not at the first answer, what is missing

        from .magics import GLMMagics
        from .question import QuestionLine
    except ImportError as error:
        raise ConfigurationError(
            f"notebooks need {error.name}, which is not installed: pip install 'glmclient[notebook]'."
        ) from error
    unload_ipython_extension(shell)
    shell.register_magics(GLMMagics(shell))
    shell.input_transformer_manager.token_transformers.insert(0, QuestionLine)
    # IPython has room for one handler; somebody else's stays.
    if not shell.custom_exceptions:
        shell.set_custom_exc((GLMError,), _show_error)  # type: ignore[no-untyped-call]


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take all of it away again, and close the connections: ``%unload_ext glmclient``."""
    magics: GLMMagics | None = shell.magics_manager.registry.pop("GLMMagics", None)
    if magics is None:
        return
    magics.close()
    for kind in shell.magics_manager.magics.values():
        kind.pop("glm", None)
    lines = shell.input_transformer_manager.token_transformers
    lines[:] = [each for each in lines if each.__name__ != "QuestionLine"]
    if shell.custom_exceptions == (GLMError,):
        shell.set_custom_exc((), None)  # type: ignore[no-untyped-call]


def _show_error(
    shell: InteractiveShell,
    kind: type[GLMError],
    error: GLMError,
    trace: TracebackType,
    tb_offset: int | None = None,
) -> None:
    """Show an error that ended a cell: as a card in a notebook, as a line in a terminal; ``%tb`` shows the rest."""
    if draws():
        display_error(error)
    else:
        shell.showtraceback((kind, error, trace), exception_only=True)
