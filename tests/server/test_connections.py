"""Connections: kept alive, pipelined, slow, broken off, and what is no HTTP at all."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
import time

import pytest

from tests.server.conftest import Caller
from tests.server.reviews import BAD, GOOD, body, pod

HEAD = b"POST /validate?timeout=%b HTTP/1.1\r\nHost: gpuward\r\nContent-Type: application/json\r\n%b\r\n"


def post(sent: bytes, *headers: bytes, timeout: bytes = b"10s") -> bytes:
    lines = b"".join(header + b"\r\n" for header in (b"Content-Length: %d" % len(sent), *headers))
    return HEAD % (timeout, lines) + sent


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One HTTP response with a Content-Length."""
    async with asyncio.timeout(20):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:] if line)
        return int(head[0].split()[1]), headers, await reader.readexactly(int(headers["Content-Length"]))


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError, ssl.SSLError):
        await writer.wait_closed()


async def test_one_connection_carries_any_number_of_calls(caller: Caller) -> None:
    reader, writer = await caller.connect()
    for _ in range(50):
        for sent, allowed in ((GOOD, True), (BAD, False)):
            writer.write(post(sent))
            status, headers, answer = await read_answer(reader)
            assert (status, json.loads(answer)["response"]["allowed"]) == (200, allowed)
            assert "Connection" not in headers
    await close(writer)


async def test_a_refused_call_leaves_the_connection_usable(caller: Caller) -> None:
    reader, writer = await caller.connect()
    for sent, expected in ((b"{", 400), (GOOD, 200), (b"", 400), (GOOD, 200)):
        writer.write(post(sent))
        assert (await read_answer(reader))[0] == expected
    writer.write(b"PUT /mutate HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
    assert (await read_answer(reader))[0] == 405
    writer.write(post(GOOD))
    assert (await read_answer(reader))[0] == 200
    await close(writer)


async def test_pipelined_calls_are_answered_in_their_order(caller: Caller) -> None:
    reader, writer = await caller.connect()
    uids = [f"uid-{i}" for i in range(100)]
    writer.write(b"".join(post(body(uid=uid)) for uid in uids))
    answers = [json.loads((await read_answer(reader))[2])["response"]["uid"] for _ in uids]
    assert answers == uids
    await close(writer)


async def test_a_call_that_comes_byte_by_byte_is_answered(caller: Caller) -> None:
    reader, writer = await caller.connect()
    for byte in post(GOOD):
        writer.write(bytes([byte]))
        await asyncio.sleep(0)
    assert (await read_answer(reader))[0] == 200
    await close(writer)


async def test_the_server_closes_where_the_caller_asks_for_it(caller: Caller) -> None:
    reader, writer = await caller.connect()
    writer.write(post(GOOD, b"Connection: close"))
    status, headers, _ = await read_answer(reader)
    assert (status, headers["Connection"]) == (200, "close")
    assert await reader.read() == b""
    await close(writer)


async def test_http_1_0_is_answered_and_closed(caller: Caller) -> None:
    reader, writer = await caller.connect()
    writer.write(post(GOOD).replace(b"HTTP/1.1", b"HTTP/1.0"))
    status, headers, _ = await read_answer(reader)
    assert (status, headers["Connection"]) == (200, "close")
    assert await reader.read() == b""
    await close(writer)


async def test_expect_100_continue_is_answered_before_the_body_comes(caller: Caller) -> None:
    reader, writer = await caller.connect()
    whole = post(GOOD, b"Expect: 100-continue")
    head, sent = whole[: -len(GOOD)], whole[-len(GOOD) :]
    writer.write(head)
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(sent)
    assert (await read_answer(reader))[0] == 200
    await close(writer)


async def test_a_body_that_stops_coming_is_given_up_within_the_callers_time(caller: Caller) -> None:
    reader, writer = await caller.connect()
    began = time.monotonic()
    writer.write(post(GOOD, timeout=b"500ms")[:-1])
    status, _, answer = await read_answer(reader)
    assert status == 408
    assert "did not arrive in time" in json.loads(answer)["message"]
    # Half a second is what the caller waits; ten times that would mean that nobody watched.
    assert time.monotonic() - began < 5
    await close(writer)


async def test_a_caller_that_goes_away_in_its_body_harms_nobody(caller: Caller) -> None:
    for _ in range(20):
        _, writer = await caller.connect()
        writer.write(post(GOOD)[:-10])
        await writer.drain()
        writer.transport.abort()
    assert (await caller.post("/validate", GOOD)).allowed
    assert not any("Traceback" in line for line in caller.served.log)


async def test_chunks_that_are_malformed_are_a_bad_request(caller: Caller) -> None:
    reader, writer = await caller.connect()
    writer.write(HEAD % (b"10s", b"Transfer-Encoding: chunked\r\n") + b'5\r\n{"kin\r\nzz\r\n')
    assert (await read_answer(reader))[0] == 400
    await close(writer)


GARBAGE = {
    "no HTTP": b"hello, is anybody there?\r\n\r\n",
    "binary": bytes(range(256)) * 4,
    "a header too long": b"GET /healthz HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    "a target too long": b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    "two lengths": post(GOOD, b"Content-Length: 5"),
    "length and chunks": post(GOOD, b"Transfer-Encoding: chunked"),
    "a length that is none": b"POST /mutate HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    "a negative length": b"POST /mutate HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
}


@pytest.mark.parametrize("sent", GARBAGE.values(), ids=GARBAGE)
async def test_what_is_no_http_is_refused_and_the_connection_closed(caller: Caller, sent: bytes) -> None:
    reader, writer = await caller.connect()
    writer.write(sent)
    status, headers, answer = await read_answer(reader)
    assert (status, headers["Connection"]) == (400, "close")
    assert json.loads(answer)["message"] == "gpuward: this is no HTTP/1.1 request"
    await close(writer)


async def test_the_rest_of_a_body_that_is_longer_than_it_says_is_neither_logged_nor_repeated(
    caller: Caller,
) -> None:
    secret = "hunter2-in-the-rest"
    reader, writer = await caller.connect()
    sent = body(pod(name=secret))
    writer.write(HEAD % (b"10s", b"Content-Length: 40\r\n") + sent)
    everything = b""
    async with asyncio.timeout(10):
        while chunk := await reader.read(65536):
            everything += chunk
    assert b"400 Bad Request" in everything
    assert secret.encode() not in everything
    await close(writer)
    assert (await caller.post("/validate", GOOD)).allowed
    assert not any(secret in line for line in caller.served.log)


async def test_somebody_who_speaks_no_tls_harms_nobody(caller: Caller) -> None:
    for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00", b""):
        reader, writer = await asyncio.open_connection("127.0.0.1", caller.served.port)
        writer.write(sent)
        if writer.can_write_eof():
            writer.write_eof()
        async with asyncio.timeout(15):
            await reader.read()
        await close(writer)
    assert (await caller.post("/validate", GOOD)).allowed


@pytest.mark.parametrize("name", ["TLSv1", "TLSv1_1"])
async def test_tls_before_1_2_is_refused(caller: Caller, name: str) -> None:
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname = False
    old.verify_mode = ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSVersion"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion[name]
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.open_connection("127.0.0.1", caller.served.port, ssl=old)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls_1_2_and_1_3_agree_on_http_1_1(caller: Caller, version: ssl.TLSVersion) -> None:
    caller.trust.minimum_version = caller.trust.maximum_version = version
    caller.trust.set_alpn_protocols(["h2", "http/1.1"])
    _, writer = await caller.connect()
    connection = writer.get_extra_info("ssl_object")
    assert connection.selected_alpn_protocol() == "http/1.1"
    assert connection.version() == version.name.replace("_", ".")
    await close(writer)
