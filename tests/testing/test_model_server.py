"""The scripted model server, asked by OpenAI's own clients and over plain HTTP."""

from __future__ import annotations

import asyncio
import http.client
import json
import textwrap
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

import spandag.testing
from spandag.testing import (
    MAX_REQUEST_BYTES,
    Actor,
    Counted,
    Failure,
    ModelServer,
    Reply,
    Request,
    ToolCall,
    Usage,
    count_tokens,
)

openai = pytest.importorskip("openai")

GO: list[Any] = [{"role": "user", "content": "Go"}]
MODEL = "gpt-4o-mini"

Serve = Callable[..., ModelServer]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server with the actors given by name; stops it after the test."""
    with ExitStack() as stack:

        def start(**actors: Actor) -> ModelServer:
            return stack.enter_context(ModelServer(actors))

        yield start


@pytest.fixture
def client_for() -> Iterator[Callable[..., Any]]:
    """Makes OpenAI clients for actors; closes them after the test."""
    with ExitStack() as stack:

        def make(server: ModelServer, actor: str, **options: Any) -> Any:
            client = openai.OpenAI(
                base_url=server.url_for(actor),
                api_key="any",
                http_client=openai.DefaultHttpxClient(trust_env=False),
                **options,
            )
            return stack.enter_context(client)

        yield make


def post(
    server: ModelServer, path: str, body: bytes, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """One raw request; returns status and parsed body."""
    url = urlsplit(server.url_for("actor"))
    connection = http.client.HTTPConnection("127.0.0.1", url.port or 0, timeout=10)
    try:
        connection.request("POST", path, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def error(status: int, message: str, code: str | None = None) -> tuple[int, Any]:
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return status, {"error": {"message": message, "type": kind, "param": None, "code": code}}


def look_up(request: Request) -> Reply:
    """Calls a tool, then says what the tool said."""
    if request.last("tool"):
        return Reply(f"It is {request.last('tool')}.")
    return Reply(tool_calls=[ToolCall("look_up", {"key": "mass of the sun"})])


class TestChatCompletions:
    def test_a_script_is_answered_in_turn(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(
            serve(actor=["first", Reply("second", finish_reason="length", model="other")]), "actor"
        )
        answers = [client.chat.completions.create(model=MODEL, messages=GO) for _ in range(2)]
        assert [answer.choices[0].message.content for answer in answers] == ["first", "second"]
        assert [answer.choices[0].finish_reason for answer in answers] == ["stop", "length"]
        assert [answer.model for answer in answers] == [MODEL, "other"]
        assert [answer.id for answer in answers] == ["chatcmpl-actor-1", "chatcmpl-actor-2"]

    def test_what_a_tool_returned_decides_the_next_reply(
        self, serve: Serve, client_for: Callable[..., Any]
    ) -> None:
        client = client_for(serve(actor=look_up), "actor")
        first = client.chat.completions.create(model=MODEL, messages=GO).choices[0]
        [call] = first.message.tool_calls
        assert first.finish_reason == "tool_calls"
        assert (call.id, call.function.name) == ("call_actor_1_0", "look_up")
        assert json.loads(call.function.arguments) == {"key": "mass of the sun"}

        answer = {"role": "tool", "tool_call_id": call.id, "content": "2e30 kg"}
        second = client.chat.completions.create(model=MODEL, messages=[*GO, first.message, answer]).choices[0]
        assert second.message.content == "It is 2e30 kg."

    def test_an_actor_sees_the_parsed_request(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        server = serve(actor=["ok"])
        tool = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
        parts = [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]
        client_for(server, "actor").chat.completions.create(
            model=MODEL,
            messages=[{"role": "system", "content": "Be brief."}, {"role": "user", "content": parts}],
            tools=[tool],
            stop=["END"],
            response_format={"type": "json_object"},
            extra_headers={"X-Mark": "blue"},
        )
        [exchange] = server.log
        request = exchange.request
        assert (request.actor, request.number, request.model, request.stream) == ("actor", 1, MODEL, False)
        assert [(message.role, message.text) for message in request.messages] == [
            ("system", "Be brief."),
            ("user", "one\ntwo"),
        ]
        assert request.text == "Be brief.\none\ntwo"
        assert (request.last(), request.last("system"), request.last("tool")) == ("one\ntwo", "Be brief.", "")
        assert (request.tools, request.stop) == (("look_up",), ("END",))
        assert request.response_format == {"type": "json_object"}
        assert request.headers["x-mark"] == "blue"
        assert request.body["tools"] == [tool]

    def test_a_reply_is_cut_at_the_first_stop_sequence(
        self, serve: Serve, client_for: Callable[..., Any]
    ) -> None:
        client = client_for(serve(actor=["plan <end> more <halt>"]), "actor")
        answer = client.chat.completions.create(model=MODEL, messages=GO, stop=["<halt>", "<end>"])
        assert answer.choices[0].message.content == "plan "

    def test_the_models_are_listed(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=[]), "actor")
        assert [model.id for model in client.models.list()] == [MODEL]
        assert client.models.retrieve(MODEL).id == MODEL
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("unknown")


class TestStreaming:
    def test_the_pieces_of_a_text_and_the_usage(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=[Reply("one two\nthree", usage=Usage(30, 20, 10, 5))]), "actor")
        chunks = list(
            client.chat.completions.create(
                model=MODEL, messages=GO, stream=True, stream_options={"include_usage": True}
            )
        )
        assert [chunk.choices[0].delta.content for chunk in chunks[1:-2]] == ["one", " two", "\nthree"]
        assert chunks[-2].choices[0].finish_reason == "stop"
        assert chunks[-1].choices == []
        assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 10
        assert chunks[-1].usage.completion_tokens_details.reasoning_tokens == 5
        assert all(chunk.usage is None for chunk in chunks[:-1])

    def test_without_include_usage_no_chunk_has_any(
        self, serve: Serve, client_for: Callable[..., Any]
    ) -> None:
        client = client_for(serve(actor=["word"]), "actor")
        chunks = list(client.chat.completions.create(model=MODEL, messages=GO, stream=True))
        assert [chunk.usage for chunk in chunks] == [None] * len(chunks)
        assert chunks[-1].choices[0].finish_reason == "stop"

    def test_tool_calls_arrive_in_pieces(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        calls = [ToolCall("add", {"a": 1, "b": 2}), ToolCall("multiply", '{"a": 3}', id="mine")]
        client = client_for(serve(actor=[Reply(tool_calls=calls)]), "actor")
        found: dict[int, list[str]] = {}
        for chunk in client.chat.completions.create(model=MODEL, messages=GO, stream=True):
            for call in chunk.choices[0].delta.tool_calls or ():
                parts = found.setdefault(call.index, ["", "", ""])
                parts[0] += call.id or ""
                parts[1] += call.function.name or ""
                parts[2] += call.function.arguments
        assert found == {
            0: ["call_actor_1_0", "add", '{"a": 1, "b": 2}'],
            1: ["mine", "multiply", '{"a": 3}'],
        }

    def test_streamed_and_whole_replies_count_the_same(
        self, serve: Serve, client_for: Callable[..., Any]
    ) -> None:
        server = serve(actor=look_up)
        client = client_for(server, "actor")
        client.chat.completions.create(model=MODEL, messages=GO)
        list(client.chat.completions.create(model=MODEL, messages=GO, stream=True))
        whole, streamed = server.log
        assert whole.usage == streamed.usage


class TestResponses:
    def test_text_tools_and_usage(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        server = serve(actor=lambda request: Reply(request.last(), [ToolCall("t", {})], Usage(9, 8, 7, 6)))
        answer = client_for(server, "actor").responses.create(
            model=MODEL, input="Go", instructions="Be brief.", tools=[{"type": "function", "name": "t"}]
        )
        text, call = answer.output
        assert (answer.output_text, text.role, answer.status) == ("Go", "assistant", "completed")
        assert (call.name, call.call_id, call.arguments) == ("t", "call_actor_1_0", "{}")
        assert (answer.usage.input_tokens, answer.usage.output_tokens) == (9, 8)
        assert answer.usage.input_tokens_details.cached_tokens == 7
        assert answer.usage.output_tokens_details.reasoning_tokens == 6
        request = server.log[0].request
        assert [(message.role, message.text) for message in request.messages] == [
            ("system", "Be brief."),
            ("user", "Go"),
        ]
        assert request.tools == ("t",)

    def test_a_conversation_with_a_tool_goes_on(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=look_up), "actor")
        [call] = client.responses.create(model=MODEL, input="Go").output
        result = {"type": "function_call_output", "call_id": call.call_id, "output": "2e30 kg"}
        answer = client.responses.create(
            model=MODEL, input=[{"role": "user", "content": "Go"}, call.model_dump(exclude_none=True), result]
        )
        assert answer.output_text == "It is 2e30 kg."

    def test_streamed(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=[Reply("one two", [ToolCall("t", {"a": 1})])]), "actor")
        with client.responses.stream(model=MODEL, input="Go") as stream:
            events = list(stream)
            final = stream.get_final_response()
        assert [event.delta for event in events if event.type == "response.output_text.delta"] == [
            "one",
            " two",
        ]
        assert (final.output_text, final.output[1].arguments) == ("one two", '{"a": 1}')
        assert final.usage.output_tokens > 0


class TestFailures:
    def test_a_client_retries_after_a_rate_limit(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        server = serve(actor=[Failure(429, "Slow down.", retry_after=0.01), "ok"])
        answer = client_for(server, "actor").chat.completions.create(model=MODEL, messages=GO)
        assert answer.choices[0].message.content == "ok"
        assert [exchange.request.number for exchange in server.log] == [1, 2]
        assert server.counted().calls == 1

    def test_a_status_with_its_message(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=[Failure(401, "No such key.")]), "actor")
        with pytest.raises(openai.AuthenticationError, match="No such key"):
            client.chat.completions.create(model=MODEL, messages=GO)

    def test_a_body_of_ones_own(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=[Failure(503, body="<html>down</html>", retry=False)]), "actor")
        with pytest.raises(openai.InternalServerError) as caught:
            client.chat.completions.create(model=MODEL, messages=GO)
        assert caught.value.response.text == "<html>down</html>"

    def test_a_dropped_connection(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        server = serve(actor=[Failure(drop=True), Failure(drop=True), "ok"])
        with pytest.raises(openai.APIConnectionError):
            client_for(server, "actor", max_retries=0).chat.completions.create(model=MODEL, messages=GO)
        answer = client_for(server, "actor").chat.completions.create(model=MODEL, messages=GO)
        assert answer.choices[0].message.content == "ok"

    def test_a_late_answer_times_out(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        server = serve(actor=[Reply("late", delay=0.5)])
        client = client_for(server, "actor", max_retries=0, timeout=0.05)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(model=MODEL, messages=GO)

    def test_an_actor_that_raises_is_not_asked_again(
        self, serve: Serve, client_for: Callable[..., Any]
    ) -> None:
        def broken(request: Request) -> Reply:
            raise LookupError("no such planet")

        server = serve(actor=broken)
        with pytest.raises(openai.InternalServerError, match=r"'actor' raised LookupError.*no such planet"):
            client_for(server, "actor").chat.completions.create(model=MODEL, messages=GO)
        assert len(server.log) == 1
        assert server.counted() == Counted()

    def test_a_call_beyond_the_script_is_said(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=["only one"]), "actor")
        client.chat.completions.create(model=MODEL, messages=GO)
        with pytest.raises(openai.InternalServerError, match="has 1 answers; this is call 2"):
            client.chat.completions.create(model=MODEL, messages=GO)

    def test_an_answer_of_a_wrong_type_is_said(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        client = client_for(serve(actor=lambda request: 42), "actor")
        with pytest.raises(openai.InternalServerError, match="returned 42"):
            client.chat.completions.create(model=MODEL, messages=GO)


class TestBadRequests:
    CHAT = "/actor/v1/chat/completions"

    def test_an_unknown_actor(self, serve: Serve) -> None:
        expected = error(404, "Unknown actor in the path '/nobody/v1/models'", "unknown_actor")
        assert post(serve(actor=[]), "/nobody/v1/models", b"{}") == expected

    def test_an_unknown_route(self, serve: Serve) -> None:
        expected = error(404, "Invalid URL (POST /actor/v1/embeddings)")
        assert post(serve(actor=[]), "/actor/v1/embeddings", b"{}") == expected

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (b"{", "We could not parse the JSON body"),
            (b"[" * 100_000, "We could not parse the JSON body"),
            (b"[]", "not an object"),
            (b"{}", "'messages'"),
            (b'{"messages": [{"role": "user", "content": "Go"}]}', "'model'"),
            (b'{"model": "m", "messages": ["Go"]}', "'role'"),
            (b'{"model": "m", "messages": [{"role": "user", "content": [1]}]}', "malformed"),
            (b'{"model": "m", "messages": [{"role": "assistant", "tool_calls": [{}]}]}', "malformed"),
        ],
    )
    def test_a_malformed_body(self, serve: Serve, body: bytes, message: str) -> None:
        server = serve(actor=["ok"])
        status, answer = post(server, self.CHAT, body)
        assert status == 400
        assert message in answer["error"]["message"]
        assert server.log == ()

    def test_a_malformed_request_does_not_use_up_the_script(self, serve: Serve) -> None:
        server = serve(actor=["ok"])
        post(server, self.CHAT, b"{}")
        status, answer = post(server, self.CHAT, json.dumps({"model": MODEL, "messages": GO}).encode())
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "ok")

    def test_a_request_that_is_too_large(self, serve: Serve) -> None:
        too_large = {"Content-Length": str(MAX_REQUEST_BYTES + 1)}
        expected = error(413, f"The request is larger than {MAX_REQUEST_BYTES} bytes.")
        assert post(serve(actor=[]), self.CHAT, b"", too_large) == expected

    def test_a_request_without_a_length(self, serve: Serve) -> None:
        chunked = {"Transfer-Encoding": "chunked"}
        assert post(serve(actor=[]), self.CHAT, b"", chunked) == error(
            411, "The request needs a Content-Length."
        )


class TestCounting:
    def test_counts_by_actor_and_in_all(self, serve: Serve, client_for: Callable[..., Any]) -> None:
        server = serve(
            one=[Reply("a", usage=Usage(100, 20, 64, 5)), Failure(400)], two=[Reply("b", usage=Usage(10, 2))]
        )
        client_for(server, "one").chat.completions.create(model=MODEL, messages=GO)
        with pytest.raises(openai.BadRequestError):
            client_for(server, "one").chat.completions.create(model=MODEL, messages=GO)
        client_for(server, "two").chat.completions.create(model=MODEL, messages=GO)
        assert server.counted("one") == Counted(1, 100, 20, 64, 5)
        assert server.counted("two") == Counted(1, 10, 2, 0, 0)
        assert server.counted() == Counted(2, 110, 22, 64, 5)
        assert [exchange.answer for exchange in server.exchanges("one")][1] == Failure(400)

    def test_a_usage_that_is_not_given_follows_from_the_texts(
        self, serve: Serve, client_for: Callable[..., Any]
    ) -> None:
        client = client_for(serve(actor=look_up), "actor")
        usages = [client.chat.completions.create(model=MODEL, messages=GO).usage for _ in range(2)]
        assert usages[0] == usages[1]
        assert (usages[0].prompt_tokens, usages[0].completion_tokens) == (8, 9)

    def test_tokens_of_a_text(self) -> None:
        assert [count_tokens("x" * length) for length in (0, 1, 4, 5)] == [0, 1, 1, 2]

    def test_a_usage_whose_parts_exceed_the_whole_is_refused(self) -> None:
        with pytest.raises(ValueError, match="parts of prompt and completion"):
            Usage(10, 5, cached=11)


class TestLifecycle:
    def test_many_at_once_get_numbers_of_their_own(self, serve: Serve) -> None:
        server = serve(actor=lambda request: Reply(str(request.number), usage=Usage(1, 1)))

        async def ask_many() -> list[str]:
            http_client = openai.DefaultAsyncHttpxClient(trust_env=False)
            async with openai.AsyncOpenAI(
                base_url=server.url_for("actor"), api_key="any", http_client=http_client
            ) as client:
                answers = await asyncio.gather(
                    *(client.chat.completions.create(model=MODEL, messages=GO) for _ in range(40))
                )
            return [answer.choices[0].message.content for answer in answers]

        assert sorted(map(int, asyncio.run(ask_many()))) == list(range(1, 41))
        assert server.counted("actor") == Counted(40, 40, 40)

    def test_actors_answer_at_the_same_time(self, serve: Serve) -> None:
        both = threading.Barrier(2, timeout=10)

        def waits_for_the_other(request: Request) -> str:
            both.wait()
            return "met"

        server = serve(actor=waits_for_the_other)
        body = json.dumps({"model": MODEL, "messages": GO}).encode()
        statuses: list[int] = []
        threads = [
            threading.Thread(target=lambda: statuses.append(post(server, TestBadRequests.CHAT, body)[0]))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200, 200]

    def test_a_connection_is_kept_alive(self, serve: Serve) -> None:
        server = serve(actor=["one", "two", "three"])
        connection = http.client.HTTPConnection(
            "127.0.0.1", urlsplit(server.url_for("actor")).port or 0, timeout=10
        )
        sockets = set()
        for stream in (False, True, False):
            body = json.dumps({"model": MODEL, "messages": GO, "stream": stream})
            connection.request("POST", "/actor/v1/chat/completions", body=body)
            connection.getresponse().read()
            sockets.add(connection.sock)
        connection.close()
        assert len(sockets) == 1
        assert None not in sockets

    def test_it_stops_with_a_connection_open_and_frees_its_port(self) -> None:
        with ModelServer({"actor": ["ok"]}) as server:
            port = urlsplit(server.url_for("actor")).port or 0
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request("GET", "/actor/v1/models")
            assert connection.getresponse().read()
        with ModelServer({"actor": ["ok"]}, port=port) as again:
            assert urlsplit(again.url_for("actor")).port == port
        connection.close()

    def test_the_url_of_nobody(self) -> None:
        with ModelServer({"planner": []}) as server, pytest.raises(KeyError, match="no actor 'reviewer'"):
            server.url_for("reviewer")

    def test_it_is_silent(
        self, serve: Serve, client_for: Callable[..., Any], capfd: pytest.CaptureFixture[str]
    ) -> None:
        server = serve(actor=[Failure(drop=True), Failure(400)])
        with pytest.raises(openai.BadRequestError):
            client_for(server, "actor").chat.completions.create(model=MODEL, messages=GO)
        assert capfd.readouterr() == ("", "")


def test_the_example_of_the_documentation_runs() -> None:
    text = (spandag.testing.__doc__ or "").partition("\n    from openai")
    example = textwrap.dedent((text[1] + text[2]).rpartition("\n\nIds")[0])
    assert "server.counted" in example
    exec(compile(example, "example", "exec"), {})
