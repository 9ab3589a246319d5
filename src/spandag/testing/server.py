"""The HTTP side of the scripted model server: routes, threads, counts."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from spandag.testing import protocol, responses
from spandag.testing.replies import Actor, Answer, Failure, Json, Reply, Request, Usage, estimate_usage

MAX_REQUEST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Counted:
    """What a server has served; failures are not in it.

    Attributes:
        calls: Replies given.
        input_tokens: Prompt tokens of them, cached ones included.
        output_tokens: Completion tokens of them, reasoning included.
        cached_tokens: How many of the input tokens were read from the cache.
        reasoning_tokens: How many of the output tokens were reasoning.
    """

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that reached an actor, and what it answered.

    Attributes:
        request: What was asked.
        answer: The reply or the failure.
        usage: The tokens reported, None for a failure.
    """

    request: Request
    answer: Reply | Failure
    usage: Usage | None


@dataclass(frozen=True, slots=True)
class _Api:
    """How one of the two APIs reads a request and writes a reply."""

    parse: Callable[[Json, str, int, Mapping[str, str]], Request]
    whole: Callable[[Request, Reply, Usage], Json]
    stream: Callable[[Request, Reply, Usage], Iterator[str]]


def _chat_events(request: Request, reply: Reply, usage: Usage) -> Iterator[str]:
    for chunk in protocol.chunks(request, reply, usage):
        yield f"data: {json.dumps(chunk)}\n\n"
    yield "data: [DONE]\n\n"


def _response_events(request: Request, reply: Reply, usage: Usage) -> Iterator[str]:
    for event in responses.events(request, reply, usage):
        yield f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


_APIS = {
    "chat/completions": _Api(protocol.parse_chat, protocol.completion, _chat_events),
    "responses": _Api(responses.parse_response, responses.response, _response_events),
}


class ModelServer:
    """An OpenAI-compatible server on loopback whose models are functions of yours.

    Each actor has a base URL of its own, `url_for(name)`, under which it serves ``chat/completions``,
    ``responses`` (both also streaming) and ``models``. Entering the context starts the server, leaving
    it stops it and closes its connections.

    Args:
        actors: By name, a function of the `Request`, or a list of answers given in turn. The functions
            are called from the threads of the server, at the same time for requests at the same time.
        models: The models that ``GET models`` lists.
        port: The port on 127.0.0.1; by default any that is free.
    """

    def __init__(
        self, actors: Mapping[str, Actor], *, models: tuple[str, ...] = ("gpt-4o-mini",), port: int = 0
    ) -> None:
        self._actors = dict(actors)
        self._models = models
        self._lock = threading.Lock()
        self._numbers = dict.fromkeys(self._actors, 0)
        self._log: list[Exchange] = []
        self._http = _HTTPServer(("127.0.0.1", port), self)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(
            target=self._http.serve_forever,
            kwargs={"poll_interval": 0.02},
            name="spandag-model-server",
            daemon=True,
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._http.shutdown()
            self._thread.join()
            self._thread = None
        self._http.server_close()
        self._http.close_connections()

    def url_for(self, actor: str) -> str:
        """The base URL to give to the client of this actor, such as ``http://127.0.0.1:8123/planner/v1``.

        Raises:
            KeyError: There is no such actor.
        """
        if actor not in self._actors:
            raise KeyError(f"no actor {actor!r}; there are {', '.join(sorted(self._actors))}")
        return f"http://127.0.0.1:{self._http.server_address[1]}/{actor}/v1"

    @property
    def log(self) -> tuple[Exchange, ...]:
        """Every exchange so far, in the order of the answers."""
        with self._lock:
            return tuple(self._log)

    def exchanges(self, actor: str) -> tuple[Exchange, ...]:
        """The exchanges of one actor so far."""
        return tuple(exchange for exchange in self.log if exchange.request.actor == actor)

    def counted(self, actor: str | None = None) -> Counted:
        """The calls and tokens served so far, by one actor or by all.

        Tests compare this with what the spans of the same program say.
        """
        usages = [
            exchange.usage
            for exchange in (self.log if actor is None else self.exchanges(actor))
            if exchange.usage is not None
        ]
        return Counted(
            calls=len(usages),
            input_tokens=sum(usage.prompt for usage in usages),
            output_tokens=sum(usage.completion for usage in usages),
            cached_tokens=sum(usage.cached for usage in usages),
            reasoning_tokens=sum(usage.reasoning for usage in usages),
        )

    def _has(self, actor: str) -> bool:
        return actor in self._actors

    def _next_number(self, actor: str) -> int:
        with self._lock:
            self._numbers[actor] += 1
            return self._numbers[actor]

    def _answer(self, request: Request) -> Exchange:
        """Ask the actor and write down what it said."""
        answer = self._ask(request)
        usage: Usage | None = None
        if isinstance(answer, Reply):
            if answer.text is not None:
                answer = replace(answer, text=protocol.cut_at_stop(answer.text, request.stop))
            usage = answer.usage or estimate_usage(request, answer)
        exchange = Exchange(request, answer, usage)
        with self._lock:
            self._log.append(exchange)
        return exchange

    def _ask(self, request: Request) -> Reply | Failure:
        actor = self._actors[request.actor]
        try:
            if callable(actor):
                answer: Answer = actor(request)
            elif request.number <= len(actor):
                answer = actor[request.number - 1]
            else:
                # A script is finite on purpose: one call too many is a finding, not something to retry.
                message = f"The script of {request.actor!r} has {len(actor)} answers; this is call {request.number}."
                return Failure(message=message, retry=False)
        except Exception as error:
            return Failure(message=f"The actor {request.actor!r} raised {error!r}", retry=False)
        if isinstance(answer, str):
            return Reply(answer)
        if isinstance(answer, (Reply, Failure)):
            return answer
        return Failure(message=f"The actor {request.actor!r} returned {answer!r}", retry=False)


class _HTTPServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], models: ModelServer) -> None:
        self.models = models
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def opened(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._open_lock:
            self._open.discard(connection)

    def close_connections(self) -> None:
        """Wake the threads that wait for a next request on a connection that a client keeps alive."""
        with self._open_lock:
            for connection in self._open:
                _hang_up(connection)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent: what fails here is a client that went away."""


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        # The other side was first.
        return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # One write for head and body: two small ones cost 40 ms each on a connection kept alive.
    wbufsize = -1
    disable_nagle_algorithm = True
    server: _HTTPServer

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on the terminal; `ModelServer.log` has it all."""

    def do_GET(self) -> None:
        """Serve the list of models, or one of them."""
        actor, route = self._route()
        if actor is None:
            return
        names = self.server.models._models
        if route == "models":
            data = [protocol.model_json(name) for name in names]
            self._send_json(200, {"object": "list", "data": data})
        elif route.startswith("models/") and route.removeprefix("models/") in names:
            self._send_json(200, protocol.model_json(route.removeprefix("models/")))
        else:
            self._send_error(404, f"Invalid URL (GET {self.path})")

    def do_POST(self) -> None:
        """Ask an actor."""
        raw = self._read_body()
        if raw is None:
            return
        actor, route = self._route()
        if actor is None:
            return
        api = _APIS.get(route)
        if api is None:
            self._send_error(404, f"Invalid URL (POST {self.path})")
            return
        models = self.server.models
        try:
            body = protocol.load_body(raw)
            headers = {name.lower(): value for name, value in self.headers.items()}
            # Parsed before it is numbered: a script moves on only for requests that reached its actor.
            request = api.parse(body, actor, 0, headers)
        except protocol.BadRequest as error:
            self._send_error(400, str(error))
            return
        except (KeyError, TypeError, AttributeError) as error:
            self._send_error(400, f"The request is malformed: {error!r}")
            return
        exchange = models._answer(replace(request, number=models._next_number(actor)))
        if exchange.answer.delay:
            time.sleep(exchange.answer.delay)
        if isinstance(exchange.answer, Failure):
            self._send_failure(exchange.answer)
        elif exchange.usage is not None:
            if exchange.request.stream:
                self._send_stream(api.stream(exchange.request, exchange.answer, exchange.usage))
            else:
                self._send_json(200, api.whole(exchange.request, exchange.answer, exchange.usage))

    def _route(self) -> tuple[str | None, str]:
        """The actor of the path and what follows ``/v1/``; an unknown actor is answered here."""
        actor, slash, route = unquote(urlsplit(self.path).path).lstrip("/").partition("/v1/")
        if not slash or not self.server.models._has(actor):
            self._send_error(404, f"Unknown actor in the path {self.path!r}", code="unknown_actor")
            return None, ""
        return actor, route.rstrip("/")

    def _read_body(self) -> bytes | None:
        length = self.headers.get("Content-Length", "")
        # What is not read would be taken for the next request, so these end the connection.
        if not length.isascii() or not length.isdigit():
            self.close_connection = True
            self._send_error(411, "The request needs a Content-Length.")
            return None
        if int(length) > MAX_REQUEST_BYTES:
            self.close_connection = True
            self._send_error(413, f"The request is larger than {MAX_REQUEST_BYTES} bytes.")
            return None
        return self.rfile.read(int(length))

    def _send_failure(self, failure: Failure) -> None:
        if failure.drop:
            self.close_connection = True
            _hang_up(self.connection)
            return
        headers = {}
        if failure.retry_after is not None:
            headers["Retry-After"] = f"{failure.retry_after:g}"
        if failure.retry is not None:
            headers["x-should-retry"] = "true" if failure.retry else "false"
        body = failure.body
        if body is None:
            body = protocol.error_json(failure.status, failure.message)
        if isinstance(body, str):
            self._send(failure.status, "text/plain; charset=utf-8", body.encode(), headers)
        else:
            self._send_json(failure.status, body, headers)

    def _send_error(self, status: int, message: str, code: str | None = None) -> None:
        self._send_json(status, protocol.error_json(status, message, code))

    def _send_json(self, status: int, body: Json, headers: Mapping[str, str] | None = None) -> None:
        self._send(status, "application/json", json.dumps(body).encode(), headers or {})

    def _send(self, status: int, content_type: str, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _send_stream(self, events: Iterator[str]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for event in events:
            data = event.encode()
            self.wfile.write(b"%X\r\n%s\r\n" % (len(data), data))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")
        self.wfile.flush()
