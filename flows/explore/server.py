"""The explorer's server: loopback only, one token, reads of one run, and the basket."""

from __future__ import annotations

import json
import secrets
import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from assay.flows.explore.basket import Basket, marks_of
from assay.flows.explore.rows import ExploredRows
from assay.storage.errors import AssayError, ConfigError

HOST = "127.0.0.1"
# of a basket, in bytes
_LARGEST = 32 << 20
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
]


class Guard:
    """Refuse requests that lack the token, or come from the pages of another origin."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request on, or answer it with 403."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope)
        problem = self._problem(request)
        if problem is not None:
            await PlainTextResponse(problem, status_code=403)(scope, receive, send)
            return

        async def guarded(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await self.app(scope, receive, guarded)

    def _problem(self, request: Request) -> str | None:
        origin = request.headers.get("origin")
        if origin is not None and origin != f"http://{request.headers.get('host', '')}":
            return "Requests from the pages of other origins are refused."
        sent = request.query_params.get("token") or request.headers.get("x-assay-token") or ""
        if not secrets.compare_digest(sent.encode(), self.token.encode()):
            return "The token is missing or wrong; open the address that `assay explore` printed."
        return None


def make_app(page: str, rows: ExploredRows, basket: Basket, token: str) -> Starlette:
    """Return the application that serves one page and the rows behind it."""

    async def index(_: Request) -> Response:
        return HTMLResponse(page)

    async def search(request: Request) -> Response:
        query = request.query_params
        try:
            offset = max(0, int(query.get("offset", "0")))
        except ValueError:
            return _refusal("`offset` must be a whole number.")
        return await _answer(rows.page, query.get("kind", "all"), query.get("query", ""), offset)

    async def row(request: Request) -> Response:
        return await _answer(rows.row, request.query_params.get("id", ""))

    async def save(request: Request) -> Response:
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > _LARGEST:
                return _refusal("The basket is too large.")
        return await _answer(_saved, rows, basket, body)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/rows", search),
            Route("/row", row),
            Route("/basket", save, methods=["POST"]),
        ],
        middleware=[
            Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
            Middleware(Guard, token=token),
        ],
    )


def _saved(rows: ExploredRows, basket: Basket, body: bytes) -> dict[str, Any]:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError):
        raise ConfigError("The basket is not JSON.") from None
    include, exclude, labels = marks_of(sent)
    rows.holds([*include, *exclude, *labels])
    return {"files": basket.write(include, exclude, labels)}


async def _answer(ask: Any, *arguments: Any) -> Response:
    try:
        return JSONResponse(await run_in_threadpool(ask, *arguments))
    except AssayError as error:
        return _refusal(str(error))


def _refusal(message: str) -> Response:
    return JSONResponse({"error": message}, status_code=400)


def bind(port: int) -> socket.socket:
    """Return a socket on loopback; port 0 takes any that is free.

    Raises
    ------
    ConfigError
        The port is taken or may not be used.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listening.bind((HOST, port))
    except (OSError, OverflowError) as error:
        listening.close()
        raise ConfigError(
            f"Port {port} of {HOST} can't be used: {error}. Name another with --port."
        ) from None
    return listening


def serve(app: Starlette, listening: socket.socket) -> None:
    """Serve until the process is told to end."""
    config = uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])
