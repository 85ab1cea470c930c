"""``siteshift run``: the node as a process."""

from __future__ import annotations

import signal
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from siteshift.cli.exits import ExitCode, Failure, unusable_configuration
from siteshift.cli.reach import CONFIG
from siteshift.cli.session import Session, command

File = Annotated[Path, typer.Option("--config", "-c", help="The configuration file.")]


@command
def run(session: Session, config: File = CONFIG) -> None:
    """Run a node until it is told to stop.

    A configuration with errors ends with exit code 2 and every problem: a service manager need not try again.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # it ends who does not know it yet; the daemon lets it in
    import uvloop

    from siteshift.app.daemon import serve
    from siteshift.config import ConfigError
    from siteshift.errors import AdapterError

    del session
    try:
        report = uvloop.run(serve(config, version=version("siteshift")))
    except ConfigError as error:
        raise unusable_configuration(str(error)) from error
    except AdapterError as error:
        remedy = "Free what is in the way (an address, a file, a permission) and start it again."
        raise Failure(ExitCode.FAILED, str(error), remedy=remedy) from error
    raise typer.Exit(ExitCode.FAILED if report.failed else ExitCode.DONE)
