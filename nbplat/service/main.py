"""Start the service: ``python -m nbplat.service.main`` detaches, ``--foreground`` stays.

Detached, the command ends when the service answers (or says why not, as an error record on standard
output). A second start of the same state folder finds the first and ends well.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from nbplat.config import Config, load_config
from nbplat.errors import Conflict, InternalError, NbplatError, from_record, unexpected
from nbplat.service.discovery import PLATFORM, log_file, private_folder, read_info, service_lock, version
from nbplat.service.lock import FileLock
from nbplat.service.logs import log_to

__all__ = ["main", "serve"]

_log = logging.getLogger("nbplat.service")


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="nbplat.service.main", description=__doc__)
    parser.add_argument("--foreground", action="store_true", help="stay, and log to standard error too")
    parser.add_argument("--platform", default=PLATFORM, help="module:function that opens the platform")
    options = parser.parse_args(argv)
    try:
        config = load_config()
        if options.foreground:
            return serve(config, factory=options.platform)
        return _detach(config, options.platform)
    except NbplatError as exc:
        print(json.dumps(exc.record()))  # noqa: T201 - the caller reads it
        return exc.exit_code


def serve(
    config: Config,
    *,
    factory: str = PLATFORM,
    on_ready: Callable[[dict[str, Any]], None] | None = None,
    foreground: bool = True,
) -> int:
    """Serve until SIGTERM or SIGINT, then stop the worker and leave nothing running; returns the exit code.

    Args:
        on_ready: Called with what ``run/service.json`` holds, once the service answers; None prints the address.
        foreground: Log to standard error too, and refuse when a service runs already.

    Raises:
        SetupError: the store, the port or the address is not fit.
        Conflict: in the foreground, a service of this state folder runs already.
    """
    private_folder(config.home / "run")
    lock = FileLock(service_lock(config))
    if not lock.take({"version": version()}):
        if foreground:
            url = (read_info(config) or {}).get("url", "an address not yet chosen")
            raise Conflict(
                "service.running", f"a service of {config.home} runs already at {url}", fix="use it, or stop it first"
            )
        return 0
    log_to(log_file(config, "service.log"), echo=foreground)
    try:
        from nbplat.service.serving import serve_folder

        # One in the foreground is its starter's to bring back.
        serve_folder(config, factory, on_ready or _say_address, revived=not foreground)
    except NbplatError as exc:
        _log.error("%s", exc)
        raise
    except Exception as exc:
        error = unexpected(exc)
        _log.exception("the service failed [%s]", error.detail_id)
        raise error from exc
    finally:
        lock.release()
    return 0


def _say_address(info: dict[str, Any]) -> None:
    print(f"nbplat serves at {info['url']} (token in run/service.json)", flush=True)  # noqa: T201


def _detach(config: Config, factory: str) -> int:
    """Fork, and wait until the child tells how its start went."""
    private_folder(config.home / "run")
    err_path = log_file(config, "service.err")
    told, tell = os.pipe()
    if os.fork():
        os.close(tell)
        with os.fdopen(told) as pipe:
            text = pipe.read()
        if text == "ready":
            return 0
        if text:
            raise from_record(json.loads(text))
        raise InternalError(
            "service.start", "the service ended while it started", fix=f"read {err_path}", where=str(err_path)
        )
    code = 70
    try:
        os.close(told)
        os.setsid()
        _redirect(str(err_path))
        code = serve(config, factory=factory, on_ready=lambda _info: _tell(tell, "ready"), foreground=False)
        _tell(tell, "ready")  # another one serves this folder: that is as good
    except NbplatError as exc:
        code = exc.exit_code
        _tell(tell, json.dumps(exc.record()))
    finally:
        # Never back into the caller's code: this is a copy of its process.
        sys.stderr.flush()
        logging.shutdown()
        os._exit(code)


def _tell(pipe: int, text: str) -> None:
    try:
        os.write(pipe, text.encode())
        os.close(pipe)
    except OSError:
        pass  # told before, or nobody waits any more


def _redirect(err_path: str) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    err = os.open(err_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for source, target in ((null, 0), (err, 1), (err, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(err)


if __name__ == "__main__":
    sys.exit(main())
