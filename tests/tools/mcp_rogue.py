"""A server that misbehaves as its first argument says; written by hand, since the package `mcp` only behaves.

Speaks 2025-11-25 over stdio. With a second argument, a file, it misbehaves only while that file exists.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

MODE = sys.argv[1]
if len(sys.argv) > 2 and not Path(sys.argv[2]).exists():
    MODE = "good"
OUTPUT = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
TOOLS = [
    {
        "name": "work",
        "description": "Works.",
        "inputSchema": {"type": "object", "properties": {"n": {"type": "integer"}}},
    }
]
calls = 0


def write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def reply(request: dict, result: object) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "result": result}))


def error(request: dict, code: int, message: str) -> None:
    write(json.dumps({"jsonrpc": "2.0", "id": request["id"], "error": {"code": code, "message": message}}))


def text(value: str, **more: object) -> dict:
    return {"content": [{"type": "text", "text": value}], **more}


def tools() -> list:
    if MODE in ("wrong-output", "no-output"):
        return [{**TOOLS[0], "outputSchema": OUTPUT}]
    if MODE == "bad-output-schema":
        return [{**TOOLS[0], "outputSchema": {"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:9/x"}}}}]
    if MODE == "remote-schema":
        return [{**TOOLS[0], "inputSchema": {"type": "object", "properties": {"n": {"$ref": "http://127.0.0.1:9/x"}}}}]
    if MODE == "bad-schema":
        return [{**TOOLS[0], "inputSchema": {"type": "object", "properties": {"n": {"type": 7}}}}]
    if MODE == "twins":
        return TOOLS * 2
    if MODE in ("new-tools", "new-tools-told", "new-tools-refused") and calls:
        return [{**TOOLS[0], "name": "toil"}]
    return TOOLS


def call(request: dict) -> None:
    global calls
    calls += 1
    match MODE:
        case "silent":
            return
        case "chatter":
            while True:
                news = {"level": "info", "data": "still working"}
                write(json.dumps({"jsonrpc": "2.0", "method": "notifications/message", "params": news}))
        case "slow-once":
            if calls == 1:
                return
        case "crash":
            sys.stderr.write("Traceback: the database is gone\n")
            sys.stderr.flush()
            os._exit(3)
        case "half":
            sys.stdout.write('{"jsonrpc": "2.0", "id": 3, "resu')
            sys.stdout.flush()
            os._exit(0)
        case "deaf":
            os.close(1)
            time.sleep(60)
        case "not-json":
            return write("Listening on port 80 ...")
        case "not-rpc":
            return write('{"hello": "world"}')
        case "deep":
            return write("[" * 100_000)
        case "wrong-id":
            return write(json.dumps({"jsonrpc": "2.0", "id": 12345, "result": text("mine?")}))
        case "old-id":
            return write(json.dumps({"jsonrpc": "2.0", "id": request["id"] - 1, "result": text("again")}))
        case "no-result":
            return write(json.dumps({"jsonrpc": "2.0", "id": request["id"]}))
        case "wrong-shape":
            return reply(request, {"content": "text"})
        case "wrong-part":
            return reply(request, {"content": [{"type": "smell", "text": "?"}]})
        case "not-base64":
            return reply(request, {"content": [{"type": "image", "data": "@@@", "mimeType": "image/png"}]})
        case "nan":
            return reply(request, text("nan", structuredContent={"n": float("nan")}))
        case "wrong-output":
            return reply(request, text("n", structuredContent={"n": "seven"}))
        case "no-output":
            return reply(request, text("n"))
        case "bad-output-schema":
            return reply(request, text("n", structuredContent={"n": 1}))
        case "huge":
            return reply(request, text("x" * 3_000_000))
        case "endless":
            while True:
                sys.stdout.write("x" * 65_536)
        case "unknown-tool":
            return error(request, -32601, "no such method")
        case "new-tools-told":
            write(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}))
            time.sleep(0.05)
        case "new-tools-refused":
            return error(request, -32602, "Unknown tool: work")
        case "internal":
            return error(request, -32603, "division by zero")
        case "asks":
            write(json.dumps({"jsonrpc": "2.0", "id": "q", "method": "elicitation/create", "params": {
                "message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}}))  # fmt: skip
            answer = json.loads(sys.stdin.readline())
            return reply(request, text(answer["error"]["message"], isError=True))
    reply(request, text(f"worked {calls}", structuredContent={"calls": calls}))


def main() -> None:
    if MODE == "mute":
        time.sleep(60)
    if MODE == "still-born":
        sys.exit("configuration is missing")
    if MODE == "stubborn":
        import signal

        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if MODE in ("stubborn", "family"):
        child = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(60)"])
        Path(os.environ["FAMILY"]).write_text(f"{os.getpid()} {child.pid}")
    for line in sys.stdin:
        request = json.loads(line)
        match request.get("method"):
            case "initialize":
                version = "1999-01-01" if MODE == "ancient" else "2025-11-25"
                info = {"name": "rogue", "version": "1"}
                reply(request, {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info})
            case "tools/list":
                page = {"tools": tools()}
                reply(request, {**page, "nextCursor": "more"} if MODE == "endless-list" else page)
            case "tools/call":
                call(request)
            case _ if "id" in request and "method" in request:
                error(request, -32601, "no such method")
    while MODE in ("stubborn", "family"):
        time.sleep(1)


main()
