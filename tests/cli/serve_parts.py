"""What the tests of `occ serve` share: a server with its client, and copies of a model."""
import http.client
import json
import os
import signal
import subprocess
import time


class Server:
    def __init__(self, occ, *arguments, key=None):
        self.process = subprocess.Popen([occ, "serve", *arguments, "--port", "0"], stdout=subprocess.PIPE, text=True,
                                        stderr=subprocess.DEVNULL, env={**os.environ, **({"OCC_API_KEY": key} if key else {})})
        self.headers = {"Content-Type": "application/json", **({"Authorization": "Bearer " + key} if key else {})}
        address = self.process.stdout.readline().strip()
        assert address.startswith("http://127.0.0.1:"), address
        self.port = int(address.rsplit(":", 1)[1])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, headers=None, raw=None):
        """(status, JSON or text, headers)"""
        connection = self.connect()
        connection.request(method, path, raw if raw is not None else json.dumps(body) if body is not None else None,
                           {**self.headers, **(headers or {})})
        reply = connection.getresponse()
        data = reply.read()
        connection.close()
        is_json = reply.getheader("Content-Type", "").startswith("application/json")
        return reply.status, json.loads(data) if is_json else data.decode(), dict(reply.getheaders())

    def post(self, path, **body):
        status, reply, _ = self.ask("POST", path, body)
        assert status == 200, (status, reply)
        return reply

    def refuse(self, status, words, path="/v1/completions", raw=None, headers=None, method="POST", **body):
        found, reply, more = self.ask(method, path, body if method == "POST" else None, headers, raw)
        assert found == status, (found, status, reply)
        error = reply["error"]
        assert words in error["message"] and set(error) == {"message", "type", "param", "code"}, (words, error)
        return error, more

    def stream(self, path, **body):
        """The open connection and its reply."""
        connection = self.connect()
        connection.request("POST", path, json.dumps({**body, "stream": True}), {"Content-Type": "application/json"})
        reply = connection.getresponse()
        assert reply.status == 200, reply.read()
        assert reply.getheader("Content-Type") == "text/event-stream"
        return connection, reply

    def metric(self, name):
        return sum(float(line.split()[-1]) for line in self.ask("GET", "/metrics")[1].splitlines() if line.startswith(name))

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        assert self.process.wait(20) == 0, self.process.returncode

    def until(self, condition, seconds=10):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "it does not happen"
            time.sleep(0.01)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def model_folder(model, folder, template=None, context=512):
    """A copy of a model with a chat template, that says it takes so many tokens."""
    folder.mkdir()
    for file in model.iterdir():
        if file.suffix != ".gguf":
            (folder / file.name).symlink_to(file)
    for file, more in (("tokenizer_config.json", {"chat_template": template} if template else {}),
                       ("config.json", {"max_position_embeddings": context})):
        values = {**json.loads((model / file).read_text()), **more}
        (folder / file).unlink()
        (folder / file).write_text(json.dumps(values))
    return str(folder)
