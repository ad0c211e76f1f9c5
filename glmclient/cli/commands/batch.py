"""``batch``: the questions of a file, answered into another file; a run that ended early goes on where it was."""

from __future__ import annotations

import importlib.util
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ...core.http import load_object
from ...errors import ConfigurationError, GLMError
from .. import exit_codes
from ..display.answering import told
from ..parameters import choices_of, options_of, question_options, service_options
from ..store.settings import Settings

if TYPE_CHECKING:
    from ...batch.limiter import Limiter
    from ...batch.run import BatchReport

__all__ = ["batch"]

ERROR_ROWS = 3
"""The exit code of a run whose output holds error rows."""
LINE_SECONDS = 30.0
"""Between two lines of progress where standard error is not a terminal."""
BAR_SECONDS = 0.1
"""Between two changes of the bar."""


def _concurrency(ctx: click.Context, parameter: click.Parameter, value: str) -> int | str:
    if value == "auto":
        return value
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise click.BadParameter('it is "auto" or a whole number of 1 or more.')
    return int(value)


def _schema(
    ctx: click.Context, parameter: click.Parameter, value: str | None
) -> dict[str, Any] | None:
    if value is None:
        return None
    text = value
    if not value.lstrip().startswith("{"):
        try:
            text = Path(value).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(f"the file {value} cannot be read: {error}.") from None
    schema = load_object(text)
    if schema is None:
        raise click.BadParameter("it is not a JSON object; give a JSON Schema.")
    return schema


@click.command()
@click.argument("input", metavar="IN.jsonl")
@click.argument("output", metavar="OUT.jsonl", type=click.Path(dir_okay=False))
@service_options
@question_options
@click.option(
    "--concurrency",
    default="auto",
    show_default=True,
    callback=_concurrency,
    metavar="N",
    help="Questions at once; auto finds what the service allows.",
)
@click.option("--rpm", type=click.FloatRange(min=0, min_open=True), help="Requests a minute.")
@click.option("--tpm", type=click.FloatRange(min=0, min_open=True), help="Tokens a minute.")
@click.option(
    "--schema",
    callback=_schema,
    metavar="FILE",
    help="A JSON Schema that every answer must fit: a file, or the schema itself.",
)
@click.option("--retry-errors", is_flag=True, help="Ask rows again whose error may be gone.")
@click.option("--max-errors", type=click.IntRange(min=1), help="Stop after so many error rows.")
@click.option("--ordered", is_flag=True, help="Sort the output by the input at the end.")
@click.option(
    "--format",
    type=click.Choice(["jsonl", "openai"]),
    default="jsonl",
    show_default=True,
    help="The lines of the output.",
)
@click.option("--dry-run", is_flag=True, help="Count rows and tokens; ask nothing.")
@click.option("-q", "--quiet", is_flag=True, help="No progress and no report.")
def batch(input: str, output: str, **given: Any) -> int:
    """Ask the questions of IN.jsonl (- for standard input), and append the answers to OUT.jsonl.

    A line of the input is {"id"?, "prompt"} or {"id"?, "messages", ...options} or a line of OpenAI's batch files. A run
    that was interrupted goes on where it was: call it again. Rows that are done are skipped.
    """
    from ...batch.limiter import Limiter

    settings = Settings()
    choices = choices_of(settings, given)
    options = options_of(given["options"])
    if given["schema"] is not None:
        options["schema"] = given["schema"]
    if given["dry_run"]:
        return _counted(input, choices.provider, options, given["system"])
    limiter = Limiter(given["concurrency"], given["rpm"], given["tpm"])
    with told(given["verbose"]), choices.client(limiter=limiter) as client:
        try:
            with _progress(limiter, _rows_of(input), quiet=given["quiet"]) as show:
                report = client.batch(
                    input,
                    output,
                    concurrency=given["concurrency"],
                    retry_errors=given["retry_errors"],
                    max_errors=given["max_errors"],
                    ordered=given["ordered"],
                    format=given["format"],
                    progress=show,
                    system=given["system"],
                    **options,
                )
        except KeyboardInterrupt:
            click.echo(f"[interrupted] to go on: {_command()}", err=True)
            return exit_codes.INTERRUPTED
    if not given["quiet"]:
        _summary(report)
    return _code(report)


def _command() -> str:
    """Return the command line that goes on with this run."""
    return shlex.join(["glmclient", *sys.argv[1:]])


def _counted(input: str, provider: str, options: dict[str, Any], system: str | None) -> int:
    from ...batch.lines import input_lines
    from ...batch.rows import estimated_tokens
    from ...batch.run import opened_rows

    rows = wrong = tokens = 0
    with opened_rows(input) as lines:
        for line in input_lines(lines, provider, options, system):
            rows += 1
            if line.question is None:
                wrong += 1
            else:
                merged = {**options, **line.question.options}
                tokens += estimated_tokens(line.question.messages, merged)
    click.echo(f"{rows} rows, {wrong} of them without a question; about {tokens} tokens.")
    return exit_codes.OK


# -- what is shown -----------------------------------------------------------------------------------------


@contextmanager
def _progress(
    limiter: Limiter, rows: int | None, *, quiet: bool
) -> Iterator[Callable[[BatchReport], object] | None]:
    """Give what shows the report so far: a bar on a terminal, a line every 30 s elsewhere.

    Args:
        limiter: its window is shown.
        rows: of the input, where their number is known; then the time left is shown.
    """
    state = _State(limiter, rows, time.monotonic)
    if quiet:
        yield None
    elif sys.stderr.isatty() and importlib.util.find_spec("rich") is not None:
        with _bar(state) as show:
            yield show
    else:
        with _lines(state):
            yield state.take


class _State:
    """How far the run is, as text.

    Args:
        limiter: its window is shown.
        rows: of the input, or ``None``.
        clock: seconds that only grow.
    """

    def __init__(self, limiter: Limiter, rows: int | None, clock: Callable[[], float]) -> None:
        self._limiter = limiter
        self.rows = rows
        self._clock = clock
        self._began: float = clock()
        self._report: BatchReport | None = None

    def take(self, report: BatchReport) -> None:
        """Note the report so far; the time counts from the first one, behind what was done before."""
        if self._report is None:
            self._began = self._clock()
        self._report = report

    @property
    def done(self) -> int:
        """Rows that are done, those of earlier runs included."""
        report = self._report
        return 0 if report is None else report.succeeded + report.failed

    def __str__(self) -> str:
        report = self._report
        if report is None:
            return "waiting for the first answer"
        seconds = max(self._clock() - self._began, 0.001)
        rate = max(self.done - report.skipped - 1, 0) / seconds
        errors = ", ".join(f"{count} {name}" for name, count in report.errors.items())
        left = "" if self.rows is None or not rate else f", {self._left(rate)} left"
        return (
            f"{self.done} rows done ({report.skipped} before), {rate:.1f} rows/s, "
            f"{report.usage.total_tokens / seconds:.0f} tokens/s, window {self._limiter.window}{left}"
            + (f"; errors: {errors}" if errors else "")
        )

    def _left(self, rate: float) -> str:
        rows = max((self.rows or 0) - self.done, 0)
        return str(timedelta(seconds=round(rows / rate)))


@contextmanager
def _lines(state: _State) -> Iterator[None]:
    """Write a line every 30 s, also while no answer comes."""
    ended = threading.Event()

    def write() -> None:
        while not ended.wait(LINE_SECONDS):
            click.echo(f"[batch] {state}", err=True)

    writer = threading.Thread(target=write, name="glmclient.progress", daemon=True)
    writer.start()
    try:
        yield
    finally:
        ended.set()
        writer.join()


@contextmanager
def _bar(state: _State) -> Iterator[Callable[[BatchReport], object]]:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        BarColumn(20),
        TextColumn("{task.description}", markup=False),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(str(state), total=state.rows)
        shown = 0.0

        def show(report: BatchReport) -> None:
            nonlocal shown
            state.take(report)
            # A bar is painted ten times a second: to prepare it for every row would cost more than the row.
            if (now := time.monotonic()) - shown >= BAR_SECONDS:
                shown = now
                progress.update(task, description=str(state), completed=state.done)

        yield show


def _rows_of(input: str) -> int | None:
    """Count the lines of the input; ``None`` where that would consume it."""
    path = Path(input)
    if input == "-" or not path.is_file():
        return None
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(partial(file.read, 1 << 20), b""))


def _summary(report: BatchReport) -> None:
    """Write the report, with the command that retries."""
    click.echo(
        f"[batch] {report.total} rows: {report.succeeded} answered, {report.failed} failed; {report.skipped} were done "
        f"before; {report.usage.total_tokens} tokens.",
        err=True,
    )
    for name, count in report.errors.items():
        click.echo(f"[batch] {count} x {name}", err=True)
    if report.stopped is not None:
        click.echo(f"[batch] stopped early: {report.stopped}", err=True)
        click.echo(f"[batch] to go on: {_command()}", err=True)
    elif report.failed:
        again = _command() if "--retry-errors" in sys.argv else f"{_command()} --retry-errors"
        click.echo(f"[batch] to ask errors again that may be gone: {again}", err=True)


def _code(report: BatchReport) -> int:
    stopped = report.stopped
    if isinstance(stopped, GLMError) and not isinstance(stopped, ConfigurationError):
        return exit_codes.of(stopped)
    if isinstance(stopped, OSError):
        return exit_codes.OTHER
    return ERROR_ROWS if report.failed else exit_codes.OK
