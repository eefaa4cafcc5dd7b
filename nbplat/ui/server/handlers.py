"""The extension's routes, ``/nbplat/{about,forms}`` and ``/nbplat/api/v1/…``, behind the Jupyter server's own gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

from nbplat.errors import NbplatError, NotFound, RequestError
from nbplat.ui.server.service_door import ServiceDoor
from nbplat.ui.server.watch import Watch

__all__ = ["add_handlers"]

# What a path of the service may hold: ids, names, `home@2`. No dots that climb, no scheme, no host.
_PATH = r"(v1(?:/[A-Za-z0-9_@.\-]+)+)"
_LONGEST_WAIT_S = 20.0


def add_handlers(serverapp: ServerApp) -> None:
    """Add the routes under the server's base address."""
    app = serverapp.web_app
    door = ServiceDoor(Path(serverapp.root_dir))
    watch = Watch(door, serverapp.event_logger)
    base = url_path_join(app.settings["base_url"], "nbplat")
    parts = {"door": door, "watch": watch}
    app.add_handlers(  # type: ignore[no-untyped-call]
        ".*$",
        [
            (url_path_join(base, "about"), About, parts),
            (url_path_join(base, "forms"), Forms, parts),
            (url_path_join(base, "api", _PATH), Proxy, parts),
        ],
    )


class _Handler(APIHandler):
    auth_resource = "nbplat"

    def initialize(self, door: ServiceDoor, watch: Watch) -> None:
        self.door = door
        self.watch = watch

    def refuse(self, error: NbplatError) -> None:
        """Answer with the record of an error, as the service does."""
        self.set_status(error.http_status)
        self.finish(json.dumps(error.record()))


class About(_Handler):
    """What is installed and whether the service runs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        try:
            # A run knows its notebook by the path that the kernel was told; the page opens it below this folder.
            self.finish(json.dumps({**await self.door.about(), "root": str(self.door.folder)}))
        except NbplatError as exc:
            self.refuse(exc)


class Forms(_Handler):
    """The panel's forms; they hang on what is installed, not on the service."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        from nbplat.ui.server.forms import forms_record

        self.finish(json.dumps(forms_record()))


class Proxy(_Handler):
    """One request of the browser as one request to the service, with the service's token instead of the browser's."""

    @web.authenticated
    @authorized
    async def get(self, path: str) -> None:
        await self._pass_on("GET", path)

    @web.authenticated
    @authorized
    async def post(self, path: str) -> None:
        await self._pass_on("POST", path)

    @web.authenticated
    @authorized
    async def delete(self, path: str) -> None:
        await self._pass_on("DELETE", path)

    async def _pass_on(self, verb: str, path: str) -> None:
        try:
            _check(path)
            query: dict[str, Any] = {
                name: [value.decode("utf-8", "replace") for value in values]
                for name, values in self.request.query_arguments.items()
                if name != "token"  # the Jupyter server's, where a browser was opened with it
            }
            if "wait_s" in query:
                query["wait_s"] = min(_LONGEST_WAIT_S, _seconds(query["wait_s"][-1]))
            reply = await self.door.ask(verb, f"/api/{path}", query=query, body=self._body())
            self.watch.somebody_looks()
            self.set_header("Cache-Control", "no-store")
            self.finish(json.dumps(reply))
        except NbplatError as exc:
            self.refuse(exc)

    def _body(self) -> Any:
        if not self.request.body:
            return None
        try:
            return json.loads(self.request.body)
        except ValueError:
            raise RequestError("request.json", "the body of the request is not JSON", fix="send JSON") from None


def _check(path: str) -> None:
    if any(set(part) == {"."} for part in path.split("/")):
        raise NotFound("route.unknown", f"there is no /api/{path} here", fix="see the service's /docs")


def _seconds(text: str) -> float:
    try:
        return max(0.0, float(text))
    except ValueError:
        return 0.0
