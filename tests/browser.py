"""A headless Chromium driven over its DevTools protocol, by pipes: no package is needed for it."""

import json
import os
import select
import shutil
import subprocess
import time
from base64 import b64decode
from pathlib import Path
from typing import Any, Self

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
SECONDS = 60.0
OFFLINE = ("file:", "data:", "blob:", "about:", "javascript:")


class Browser:
    """One page. What it asked of a network and what it complained of is kept.

    Attributes:
        requests: addresses that were asked for and that a disk has not.
        errors: what the console holds of errors, and exceptions.
    """

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM
        theirs, self._commands = os.pipe()
        self._answers, their_answers = os.pipe()
        # Chromium reads commands from its file 3 and answers on its file 4.
        bind = f'exec "$@" 3<&{theirs} 4>&{their_answers}'
        flags = ["--headless=new", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu"]
        flags += ["--disable-dev-shm-usage", "--no-first-run", "--window-size=1400,1000"]
        self._process = subprocess.Popen(
            ["bash", "-c", bind, "bash", CHROMIUM, *flags, f"--user-data-dir={profile}"],
            pass_fds=(theirs, their_answers),
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(their_answers)
        self._buffer, self._last, self._session = b"", 0, ""
        self.requests: list[str] = []
        self.errors: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        os.close(self._commands)
        os.close(self._answers)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to a command."""
        self._last += 1
        command = {"id": self._last, "method": method, "params": parameters}
        if self._session:
            command["sessionId"] = self._session
        os.write(self._commands, json.dumps(command).encode() + b"\0")
        while (message := self._next()).get("id") != self._last:
            self._note(message)
        assert "error" not in message, message
        return dict(message["result"])

    def do(self, script: str) -> Any:
        """The value of a script in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, condition: str) -> None:
        """Wait until a script is true."""
        end = time.monotonic() + SECONDS
        while not self.do(condition):
            assert time.monotonic() < end, f"never came true: {condition}\n{self.errors}"
            time.sleep(0.05)

    def screenshot(self, path: Path) -> None:
        """Save what the page looks like."""
        path.write_bytes(b64decode(self.call("Page.captureScreenshot")["data"]))

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], SECONDS)
            assert ready, "Chromium does not answer"
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium ended"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, message: dict[str, Any]) -> None:
        method, found = message.get("method"), message.get("params", {})
        if method == "Network.requestWillBeSent":
            url = found["request"]["url"]
            self.requests += [] if url.startswith(OFFLINE) else [url]
        elif method == "Runtime.consoleAPICalled" and found["type"] in ("error", "assert"):
            self.errors.append(json.dumps(found["args"]))
        elif method == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(found["exceptionDetails"]))
        elif method == "Log.entryAdded" and found["entry"]["level"] == "error":
            self.errors.append(json.dumps(found["entry"]))
