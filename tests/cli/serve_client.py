"""usage: serve_client.py OCC MODEL SOURCE WORK: the client of serve_test.sh."""
import base64
import gzip
import json
import math
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

OCC, MODEL, SOURCE, WORK = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4])
sys.dont_write_bytecode = True
sys.path.insert(0, str(SOURCE / "tests"))
from docs_test import prepare_json  # noqa: E402
from serve_parts import Server, model_folder  # noqa: E402

PROMPTS = ["Once upon a time", "Tom and Jane went to the park. They", "A", "The little dog was very happy because " * 12]


def events(reply):
    lines = [line.decode().strip() for line in reply]
    data = [line[6:] for line in lines if line]
    assert all(line.startswith("data: ") for line in lines if line) and data[-1] == "[DONE]", lines
    return [json.loads(d) for d in data[:-1]]


def generated(prompt, *options):
    return subprocess.run([OCC, "generate", str(MODEL), "--prompt", prompt, "-q", *options], capture_output=True, check=True).stdout.decode()[:-1]


def tokens_of(prompt):
    out = subprocess.run([OCC, "tokenize", str(MODEL), "--prompt", prompt, "--json"], capture_output=True, check=True, text=True).stdout
    return json.loads(out)["tokens"]


def check_completions(server):
    greedy = {p: generated(p, "--temperature", "0", "-n", "40") for p in PROMPTS}
    for prompt in PROMPTS:
        reply = server.post("/v1/completions", model="stories260k", prompt=prompt, temperature=0, max_tokens=40)
        choice = reply["choices"][0]
        assert choice["text"] == greedy[prompt], (choice["text"], greedy[prompt])
        assert choice["finish_reason"] == "length" and reply["object"] == "text_completion"
        assert reply["usage"]["prompt_tokens"] == len(tokens_of(prompt)) and reply["usage"]["completion_tokens"] == 40
    # Several prompts, as texts and as ids, give the same as one by one.
    for prompts in (PROMPTS, [tokens_of(p) for p in PROMPTS]):
        reply = server.post("/v1/completions", prompt=prompts, temperature=0, max_tokens=40)
        assert [c["text"] for c in reply["choices"]] == [greedy[p] for p in PROMPTS]
        assert [c["index"] for c in reply["choices"]] == [0, 1, 2, 3]
    # A stop text, and a stream.
    text = greedy[PROMPTS[0]]
    stop = text[len(text) // 2:len(text) // 2 + 5]
    whole = server.post("/v1/completions", prompt=PROMPTS[0], temperature=0, max_tokens=40, stop=[stop, "never"])
    assert whole["choices"][0]["text"] == text[:text.index(stop)] and whole["choices"][0]["finish_reason"] == "stop"
    connection, reply = server.stream("/v1/completions", prompt=PROMPTS[0], temperature=0, max_tokens=40,
                                      stream_options={"include_usage": True})
    found = events(reply)
    assert "".join(e["choices"][0]["text"] for e in found[:-1]) == text
    assert found[-1]["choices"] == [] and found[-1]["usage"]["completion_tokens"] == 40
    assert [e["choices"][0]["finish_reason"] for e in found[:-1]] == [None] * (len(found) - 2) + ["length"]
    # The same connection takes the next request.
    connection.request("GET", "/health")
    assert json.loads(connection.getresponse().read()) == {"status": "ok"}
    connection.close()


def check_scores(server):
    ids = tokens_of(PROMPTS[1])
    reply = server.post("/v1/completions", prompt=ids, echo=True, logprobs=3, max_tokens=4, temperature=0)
    choice = reply["choices"][0]
    scores = choice["logprobs"]
    assert choice["text"].endswith(generated(PROMPTS[1], "--temperature", "0", "-n", "4")) and PROMPTS[1] in choice["text"]
    assert len(scores["tokens"]) == len(ids) + 4 and scores["token_logprobs"][0] is None and scores["top_logprobs"][0] is None
    for logprob, top in list(zip(scores["token_logprobs"], scores["top_logprobs"]))[1:]:
        assert logprob <= max(top.values()) + 1e-6 and len(top) == 3 and sum(math.exp(v) for v in top.values()) < 1.0001
    # Greedy tokens are the likeliest ones, and scored as prompt they get the same values.
    assert all(abs(p - max(t.values())) < 1e-6 for p, t in zip(scores["token_logprobs"][-4:], scores["top_logprobs"][-4:]))
    alone = server.post("/v1/completions", prompt=ids[:-1], echo=True, logprobs=0, max_tokens=0)["choices"][0]
    assert len(alone["logprobs"]["tokens"]) == len(ids) - 1 and alone["finish_reason"] == "length"
    assert all(abs(a - b) < 1e-3 for a, b in zip(alone["logprobs"]["token_logprobs"][1:], scores["token_logprobs"][1:]))
    # Offsets are places in the text that is sent, which has neither BOS nor the space that the tokenizer puts before a text.
    for prompt in (PROMPTS[1], ids):
        choice = server.post("/v1/completions", prompt=prompt, echo=True, logprobs=0, max_tokens=4, temperature=0)["choices"][0]
        for i, (token, offset) in enumerate(zip(choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"])):
            if token == "<s>" and prompt is not ids:
                assert offset == 0
            else:
                assert choice["text"][offset:].startswith(token.lstrip(" ") if i == 1 and prompt is not ids else token), (i, token, offset, choice["text"])
        assert choice["logprobs"]["text_offset"][-1] + len(choice["logprobs"]["tokens"][-1]) == len(choice["text"])
    connection, reply = server.stream("/v1/completions", prompt=ids, echo=True, logprobs=1, max_tokens=4, temperature=0)
    pieces = [e["choices"][0] for e in events(reply)]
    assert sum((p["logprobs"]["tokens"] for p in pieces), []) == scores["tokens"]
    assert sum((p["logprobs"]["text_offset"] for p in pieces), []) == scores["text_offset"]
    connection.close()


def check_seeds(server):
    sampled = dict(prompt=PROMPTS[1], temperature=1, top_p=0.9, max_tokens=30)
    single = [server.post("/v1/completions", seed=7 + i, **sampled)["choices"][0]["text"] for i in range(3)]
    assert len(set(single)) == 3 and single[0] == generated(PROMPTS[1], "--temperature", "1", "--top-p", "0.9", "--seed", "7", "-n", "30")
    results = [None] * 6

    def work(i):
        results[i] = [c["text"] for c in server.post("/v1/completions", seed=7, n=3, **sampled)["choices"]]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(results))]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert all(r == single for r in results), (results, single)


def check_chat(server):
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": [{"type": "text", "text": "Once upon"}, {"type": "text", "text": "a time"}]}]
    # Encoded without BOS, which templates write themselves.
    rendered = "system: Be kind. user: Once upon\na time tools: 1"
    same = dict(model="chatty", temperature=0, max_tokens=20)
    text = server.post("/v1/completions", prompt=tokens_of(rendered)[1:], **same)["choices"][0]["text"]
    ask = dict(messages=messages, tools=[{"type": "function", "function": {"name": "f"}}], **same)
    reply = server.post("/v1/chat/completions", logprobs=True, top_logprobs=2, **ask)
    choice = reply["choices"][0]
    assert choice["message"] == {"role": "assistant", "content": text} and reply["object"] == "chat.completion"
    assert len(choice["logprobs"]["content"]) == 20 and len(choice["logprobs"]["content"][0]["top_logprobs"]) == 2
    connection, reply = server.stream("/v1/chat/completions", **ask)
    deltas = [e["choices"][0]["delta"] for e in events(reply)]
    assert deltas[0]["role"] == "assistant" and "".join(d.get("content", "") for d in deltas) == text
    connection.close()
    server.refuse(400, "no chat template", "/v1/chat/completions", model="stories260k", messages=messages)
    server.refuse(400, "request.messages", "/v1/chat/completions", model="chatty", messages=[])
    server.refuse(400, "type 'text'", "/v1/chat/completions", model="chatty", messages=[{"role": "user", "content": [{"type": "image_url"}]}])
    server.refuse(400, "type 'text'", "/v1/chat/completions", model="chatty", messages=[{"role": "user", "content": [{"type": 5, "text": "a"}]}])
    server.refuse(400, "request.response_format.type: not supported", "/v1/chat/completions", response_format={"type": "json_object"}, **ask)


def check_embeddings(server):
    reply = server.post("/v1/embeddings", model="encoder", input=["a b", "c d e", "a b"])
    vectors = [d["embedding"] for d in reply["data"]]
    assert vectors[0] == vectors[2] != vectors[1] and reply["usage"]["prompt_tokens"] == 4 + 5 + 4
    packed = server.post("/v1/embeddings", model="encoder", input="a b", encoding_format="base64", dimensions=len(vectors[0]))
    assert list(struct.unpack(f"<{len(vectors[0])}f", base64.b64decode(packed["data"][0]["embedding"]))) == vectors[0]
    ids = server.post("/v1/embeddings", model="encoder", input=[[1, 3, 4, 2]])
    assert ids["data"][0]["embedding"] == vectors[0]
    server.refuse(400, "makes no embeddings", "/v1/embeddings", model="stories260k", input="a")
    server.refuse(400, "is an encoder", model="encoder", prompt="a")
    server.refuse(400, "request.dimensions", "/v1/embeddings", model="encoder", input="a", dimensions=3)


def check_errors(server):
    server.refuse(400, "request", raw="{")
    server.refuse(400, "request", raw='{"prompt": "a", "prompt": "b"}')
    server.refuse(400, "expected a JSON object", raw="[1]")
    server.refuse(400, "request.prompt: expected an array, found none")
    server.refuse(400, "request.max_tokens: expected a whole number", prompt="a", max_tokens=-1)
    server.refuse(400, "request.stream: expected true or false", prompt="a", stream=1)
    server.refuse(400, "temperature: expected a number >= 0", prompt="a", temperature=-1)
    server.refuse(400, "request.presence_penalty: not supported", prompt="a", presence_penalty=1)
    for name, value, neutral in (("min_p", 0.1, 0), ("repetition_penalty", 1.2, 1.0), ("repeat_penalty", 1.2, 1), ("stop_token_ids", [1], []),
                                 ("min_tokens", 5, 0), ("guided_json", {"type": "object"}, None), ("grammar", "root ::= x", "")):
        server.refuse(400, f"request.{name}: not supported", prompt="a", **{name: value})
        server.post("/v1/completions", prompt="a", max_tokens=1, **{name: neutral})
    server.refuse(400, "request.stop", prompt="a", stop=[""])
    server.refuse(400, "at most 4 completions", prompt="a", n=5)
    server.refuse(400, "request.prompt[1]: expected a whole number from 0 to 511", prompt=[1, 512])
    server.refuse(400, "no tokens", prompt=[[]])
    error, _ = server.refuse(400, "expected at most 100", prompt=[5] * 101)
    assert error["code"] == "context_length_exceeded" and error["type"] == "invalid_request_error"
    server.refuse(404, 'no model "gpt-4"', prompt="a", model="gpt-4")
    server.refuse(404, "no GET /v1/nothing", "/v1/nothing", method="GET")
    server.refuse(403, "localhost only", prompt="a", headers={"Host": "evil.example"})
    server.refuse(403, "may not use", prompt="a", headers={"Origin": "http://evil.example"})
    error, _ = server.refuse(401, "key", prompt="a", headers={"Authorization": "Bearer other"})
    assert error["code"] == "invalid_api_key"


def check_bodies(server):
    """The limit holds for what a body says and is, however it is packed; its kind does not matter."""
    large = json.dumps({"prompt": "a", "max_tokens": 1, "user": "x" * (12 << 20)}).encode()
    small = json.dumps({"prompt": "a", "max_tokens": 1, "user": "x" * 20000}).encode()
    pieces = [large[i:i + 65536] for i in range(0, len(large), 65536)]
    server.refuse(413, "8388608 bytes", raw=large)
    server.refuse(413, "8388608 bytes", raw=iter(pieces))
    server.refuse(413, "8388608 bytes", raw=gzip.compress(large), headers={"Content-Encoding": "gzip"})
    server.refuse(404, "no POST /v1/nothing", "/v1/nothing", raw=iter(pieces))
    server.refuse(415, "multipart", raw=small, headers={"Content-Type": "multipart/form-data; boundary=x"})
    for headers, body in (({"Content-Type": "application/x-www-form-urlencoded"}, small), ({"Content-Encoding": "gzip"}, gzip.compress(small)),
                          ({}, iter([small]))):
        assert server.ask("POST", "/v1/completions", headers=headers, raw=body)[0] == 200, headers


def check_connections(server):
    """What follows the headers of a refused request is not the next request."""
    smuggled = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    size = f"Content-Length: {len(smuggled)}"
    for status, line, headers in ((403, "POST /v1/completions", ["Origin: http://evil.example", size]), (401, "POST /v1/completions", [size]),
                                  (400, "GET /health", [size]), (413, "POST /v1/completions", ["Authorization: Bearer secret", "Content-Length: 99999999999999999999"]),
                                  (411, "POST /v1/completions", ["Authorization: Bearer secret"]), (414, "POST /" + "a" * 9000, [size]), (400, "GET /health", ["a: " + "a" * 9000])):
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall("\r\n".join([line + " HTTP/1.1", "Host: localhost", *headers, "", ""]).encode())
            found = connection.recv(65536)
            connection.sendall(smuggled)
            try:
                while more := connection.recv(65536):
                    found += more
            except ConnectionResetError:
                pass
            assert found.startswith(f"HTTP/1.1 {status} ".encode()) and found.count(b"HTTP/1.1 ") == 1, (line[:30], headers, found)


def check_arguments(server):
    for words, *arguments in (("--api-key", "--api-key", ""), ("--timeout", "--timeout", "1e10"), ("listened on\n", "--host", "nosuchhost.invalid"),
                              ("listened on: Address already in use", "--port", str(server.port))):
        done = subprocess.run([OCC, "serve", str(MODEL), *arguments], capture_output=True, text=True, timeout=60)
        assert done.returncode not in (0, -6, -11) and words in done.stderr, (arguments, done)


def check_leaving(server):
    """One at a time, one waits, the next is refused; who leaves makes room, in a stream and without."""
    endless = dict(prompt="Once", max_tokens=100000, ignore_eos=True)
    first, reply = server.stream("/v1/completions", **endless)
    reply.readline()
    second = server.connect()
    second.request("POST", "/v1/completions", json.dumps(endless), {"Content-Type": "application/json"})
    server.until(lambda: server.metric("occ_waiting") == 1)
    error, more = server.refuse(429, "too many", prompt="a")
    assert error["type"] == "rate_limit_error" and int(more["Retry-After"]) > 0
    reply.close()
    first.close()
    server.until(lambda: server.metric("occ_waiting") == 0)
    assert server.metric("occ_completions_cancelled_total") == 1 and server.metric("occ_running") == 1
    second.close()
    server.until(lambda: server.metric("occ_running") == 0)
    assert server.metric("occ_completions_cancelled_total") == 2
    assert server.post("/v1/completions", prompt="a", max_tokens=1)["usage"]["completion_tokens"] == 1


def check_signal(server):
    """SIGTERM: an answer that cannot end in time ends with an error, what idles is no obstacle, the status is 0."""
    idle = server.connect()
    idle.request("GET", "/health")
    idle.getresponse().read()
    connection, reply = server.stream("/v1/completions", prompt="Once", max_tokens=300, ignore_eos=True)
    reply.readline()
    start = time.monotonic()
    server.end()
    assert time.monotonic() - start < 4, "an answer of 300 tokens holds it up"
    rest = [line for line in reply.read().decode().splitlines() if line]
    assert rest[-1] == "data: [DONE]" and json.loads(rest[-2][6:])["choices"][0]["finish_reason"] == "length"


def check_models(server):
    _, models, _ = server.ask("GET", "/v1/models")
    assert [m["id"] for m in models["data"]] == ["stories260k", "chatty", "encoder"], models
    assert 15 < models["data"][0]["occ"]["bits_per_weight"] < 33 and models["data"][1]["occ"]["chat"]
    status, page, headers = server.ask("GET", "/")
    assert status == 200 and "<title>occ</title>" in page and "default-src 'none'" in headers["Content-Security-Policy"]


def check_key(server):
    for key, status in (("secret", 200), ("secrets", 401), ("", 401)):
        assert server.ask("GET", "/v1/models", headers={"Authorization": "Bearer " + key})[0] == status
    for path in ("/", "/health"):
        assert server.ask("GET", path, headers={"Authorization": ""})[0] == 200


def main():
    (WORK / "prepared").mkdir()
    prepare_json(WORK / "prepared")
    chatty = model_folder(MODEL, WORK / "chatty", "{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}tools: {{ tools | length }}")
    endless = model_folder(MODEL, WORK / "endless", context=200000)
    with Server(OCC, str(MODEL), chatty, str(WORK / "prepared/encoder")) as server:
        for check in (check_models, check_completions, check_scores, check_seeds, check_chat, check_embeddings):
            check(server)
        assert server.metric('occ_requests_total{path="/v1/chat/completions",status="400"}') == 5
        assert server.metric("occ_reused_tokens_total") > 0
        server.end(signal.SIGINT)
    with Server(OCC, str(MODEL), "--parallel", "3", "--queue", "1", "--context", "100", key="secret") as server:
        check_key(server)
        for check in (check_errors, check_bodies, check_connections, check_arguments):
            check(server)
        server.end()
    with Server(OCC, endless, "--parallel", "1", "--queue", "1", "--context", "200000") as server:
        check_leaving(server)
        check_signal(server)
    print("all endpoints as documented")


main()
