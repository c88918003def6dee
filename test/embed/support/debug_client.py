"""A client of debugpy: speaks the Debug Adapter Protocol over a socket, as editors do.

https://microsoft.github.io/debug-adapter-protocol/specification
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading

LIMIT = 30  # seconds for any answer


class DebugClient:
    """Attached from its construction on, with breakpoints in one file, until `close`."""

    def __init__(self, port, file, lines):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
        self._socket.settimeout(None)
        self._stream = self._socket.makefile("rb")
        self._numbers = 0
        self._responses, self._events = {}, {}
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.request("initialize", adapterID="test", linesStartAt1=True, columnsStartAt1=True, pathFormat="path")
        attached = self._send("attach", {"justMyCode": False, "subProcess": False})
        self.event("initialized")
        told = self.request(
            "setBreakpoints", source={"path": str(file)}, breakpoints=[{"line": line} for line in lines]
        )
        assert [point["verified"] for point in told["breakpoints"]] == [True] * len(lines), told
        self.request("configurationDone")
        self._answer(attached, "attach")

    def request(self, command, **arguments):
        """Its answer."""
        return self._answer(self._send(command, arguments), command)

    def event(self, name):
        """The next of that name."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._events.get(name), LIMIT), f"no event {name!r}: {self._events}"
            return self._events[name].pop(0)

    def stopped(self):
        """Waits for a breakpoint. Thread, function and line; then `resume` is due."""
        thread = self.event("stopped")["threadId"]
        top = self.request("stackTrace", threadId=thread)["stackFrames"][0]
        names = {known["id"]: known["name"] for known in self.request("threads")["threads"]}
        self._at = thread, top["id"]
        return names[thread], top["name"], top["line"]

    def value(self, expression):
        """What an expression is where it has stopped."""
        return self.request("evaluate", expression=expression, frameId=self._at[1], context="watch")["result"]

    def resume(self):
        self.request("continue", threadId=self._at[0])

    def detach(self):
        """The program goes on."""
        self.request("disconnect", terminateDebuggee=False)
        self.close()

    def close(self):
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(LIMIT)
        self._stream.close()
        self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _send(self, command, arguments):
        self._numbers += 1
        text = json.dumps({"seq": self._numbers, "type": "request", "command": command, "arguments": arguments}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(text), text))
        return self._numbers

    def _answer(self, number, command):
        with self._changed:
            assert self._changed.wait_for(lambda: number in self._responses, LIMIT), f"no answer to {command}"
            response = self._responses.pop(number)
        assert response["success"], response
        return response.get("body")

    def _read(self):
        with contextlib.suppress(OSError, ValueError):
            while header := self._stream.readline():
                if not header.startswith(b"Content-Length:"):
                    continue
                self._stream.readline()
                message = json.loads(self._stream.read(int(header.split(b":")[1])))
                with self._changed:
                    if message["type"] == "response":
                        self._responses[message["request_seq"]] = message
                    elif message["type"] == "event":
                        self._events.setdefault(message["event"], []).append(message.get("body"))
                    self._changed.notify_all()
