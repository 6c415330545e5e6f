"""usage: serve_browser.py OCC MODEL WORK BROWSER: the part of serve_browser_test.sh that drives the browser, over the pipes of its DevTools protocol. Exit status 77: the browser does not run here."""
import json
import os
import re
import select
import subprocess
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
from serve_parts import Server, model_folder  # noqa: E402

OCC, MODEL, WORK, BROWSER = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
TEMPLATE = "{{ bos_token }}{% for m in messages %}{{ m.content }} {% endfor %}"


class Browser:
    def __init__(self):
        to_browser, self.writer = os.pipe()
        self.reader, from_browser = os.pipe()
        # The browser reads from descriptor 3 and writes to 4.
        command = f'exec "$@" 3<&{to_browser} 4>&{from_browser}'
        self.process = subprocess.Popen(
            ["bash", "-c", command, "bash", BROWSER, "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={WORK}/profile", "--window-size=390,844"],
            pass_fds=(to_browser, from_browser), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        os.close(to_browser)
        os.close(from_browser)
        self.buffer, self.number, self.session, self.events = b"", 0, None, []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(domain + ".enable")

    def call(self, method, **parameters):
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters, **({"sessionId": self.session} if self.session else {})}
        os.write(self.writer, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + 60
        while True:
            while b"\0" not in self.buffer:
                if not select.select([self.reader], [], [], end - time.monotonic())[0]:
                    raise TimeoutError(method)
                data = os.read(self.reader, 1 << 16)
                if not data:
                    raise EOFError("the browser has gone")
                self.buffer += data
            line, self.buffer = self.buffer.split(b"\0", 1)
            reply = json.loads(line)
            if reply.get("id") == self.number:
                assert "error" not in reply, reply
                return reply["result"]
            self.events.append(reply)

    def value(self, expression):
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, expression, seconds=20):
        end = time.monotonic() + seconds
        while not (found := self.value(expression)):
            assert time.monotonic() < end, f"never true: {expression}; the page says: {self.value('document.body.innerText')}"
            time.sleep(0.02)
        return found

    def ask(self, text):
        self.value("document.getElementById('question').focus()")
        self.call("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r" if kind == "keyDown" else "")


def check(browser, server):
    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    browser.call("Page.navigate", url=f"http://127.0.0.1:{server.port}/")
    figures = browser.until("document.getElementById('figures')?.textContent")
    assert re.fullmatch(r"0\.3 M weights, 32\.\d\d bits per weight, 1\.0 MB", figures), figures
    light = browser.value("getComputedStyle(document.body).backgroundColor")

    # An answer is that of the endpoint; the text grows while it comes.
    browser.value("document.getElementById('temperature').value = 0; document.getElementById('max_tokens').value = 60")
    browser.ask("Once upon a time")
    speed = browser.until("document.querySelector('.speed')?.textContent.includes('tokens,') && document.querySelector('.speed').textContent")
    assert re.fullmatch(r"60 tokens(, [\d.]+ tokens/s)?, first after [\d.]+ s, ended by length", speed), speed
    messages = [{"role": "user", "content": "Once upon a time"}]
    expected = server.post("/v1/chat/completions", messages=messages, temperature=0, max_tokens=60)["choices"][0]["message"]
    assert browser.value("document.querySelector('.answer').textContent") == expected["content"]

    # The next question goes with the talk so far; an answer without end is stopped, and the server hears of it.
    browser.value("document.getElementById('max_tokens').value = 100000")
    browser.ask("Then")
    browser.until("document.querySelectorAll('.answer')[1]?.textContent.length > 40")
    length = browser.value("document.querySelectorAll('.answer')[1].textContent.length")
    browser.until(f"document.querySelectorAll('.answer')[1].textContent.length > {length}")
    assert browser.value("document.getElementById('send').hidden") and not browser.value("document.getElementById('stop').hidden")
    browser.value("document.getElementById('stop').click()")
    speed = browser.until("/stopped$/.test(document.querySelectorAll('.speed')[1].textContent) && document.querySelectorAll('.speed')[1].textContent")
    assert re.fullmatch(r"\d+ tokens, [\d.]+ tokens/s, first after [\d.]+ s, stopped", speed), speed
    server.until(lambda: server.metric("occ_completions_cancelled_total") == 1)
    assert browser.value("messages.length") == 4 and browser.value("document.getElementById('stop').hidden")

    # An error of the server is shown in words.
    browser.value("document.getElementById('temperature').value = -1")
    browser.ask("Wrong")
    browser.until("document.querySelector('.wrong')?.textContent.includes('temperature: expected a number >= 0')")
    browser.value("document.getElementById('fresh').click()")
    assert browser.value("document.querySelectorAll('.message').length") == 0 and browser.value("messages.length") == 0

    # Another key during an answer begins anew, and the answer does not come back.
    browser.value("document.getElementById('temperature').value = 0")
    browser.ask("Once upon a time")
    browser.until("document.querySelectorAll('.answer')[0]?.textContent.length > 40")
    browser.value("document.getElementById('key').value = 'other'; document.getElementById('key').dispatchEvent(new Event('change'))")
    browser.until("document.querySelectorAll('.message').length === 0 && document.getElementById('stop').hidden")
    server.until(lambda: server.metric("occ_completions_cancelled_total") == 2)
    time.sleep(0.3)
    assert browser.value("messages.length") == 0 and browser.value("controller === null")

    browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    dark = browser.value("getComputedStyle(document.body).backgroundColor")
    assert light != dark and sum(map(int, re.findall(r"\d+", dark))) < 200 < sum(map(int, re.findall(r"\d+", light))), (light, dark)
    assert browser.value("document.documentElement.scrollWidth <= innerWidth"), "wider than the screen of a phone"

    # Nothing but the server was asked, and nothing complained of but the refused request.
    for event in browser.events:
        if event["method"] == "Network.requestWillBeSent":
            url = event["params"]["request"]["url"]
            assert url.startswith((f"http://127.0.0.1:{server.port}/", "data:")), url
        assert event["method"] not in ("Runtime.exceptionThrown", "Runtime.consoleAPICalled"), event
        if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] != "verbose":
            assert "400 (Bad Request)" in event["params"]["entry"]["text"], event


def main():
    try:
        browser = Browser()
    except (EOFError, TimeoutError, BrokenPipeError) as error:
        print(f"SKIPPED: {BROWSER} does not run here: {error!r}")
        sys.exit(77)
    try:
        with Server(OCC, model_folder(MODEL, WORK / "talker", TEMPLATE, 200000), "--context", "200000") as server:
            check(browser, server)
            server.end()
    finally:
        browser.process.kill()
        browser.process.wait()
    print("the page as documented")


main()
