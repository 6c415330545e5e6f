"""occ.Model and occ.Encoder: running models from compressed files."""

from __future__ import annotations

import json
import os
import queue
import threading
import typing

import numpy as np

from . import _core

Messages = typing.Sequence[typing.Mapping[str, typing.Any]]
Prompt = typing.Union[str, typing.Sequence[int]]


class Generation(str):
    """The text of an answer, with what was counted.

    finish_reason: "stop" (the model ended the text, or a stop text came), "length" (max_tokens) or "context" (the
    context is full). prompt_tokens: computed for the prompt, without those still known from the call before; tokens:
    generated. prompt_seconds, seconds.
    """

    finish_reason: str
    prompt_tokens: int
    tokens: int
    prompt_seconds: float
    seconds: float

    def __new__(cls, result: dict[str, typing.Any]) -> Generation:
        self = super().__new__(cls, result["text"])
        self.__dict__.update({k: v for k, v in result.items() if k != "text"})
        return self


class Model:
    """A causal language model: a .occ file, a Hugging Face folder or a GGUF.

    f32: decode weights to float32 in memory. Otherwise codes stay as they are and are multiplied with activations in
        int8, which takes the least memory and is faster.
    context: tokens of a prompt and its answer, at most what the model takes.
    """

    def __init__(self, path: str | os.PathLike[str], *, f32: bool = False, context: int = 4096):
        self.path = os.fspath(path)
        self._model = _core.Causal(self.path, f32, context)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, and of columns of logits()."""
        return self._model.vocab_size

    @property
    def context(self) -> int:
        return self._model.context

    @property
    def weight_bytes(self) -> int:
        """Bytes that the weights take in memory."""
        return self._model.weight_bytes

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        """Token ids of a text. special: with what the model expects around it (BOS), and strings such as "</s>" become
        their tokens."""
        return self._model.tokenize(text, special)

    def detokenize(self, tokens: typing.Iterable[int]) -> str:
        """The text of token ids; bytes that are no UTF-8 become U+FFFD."""
        return self._model.detokenize(list(tokens))

    def logits(self, tokens: Prompt) -> np.ndarray:
        """float32 [len(tokens), vocab_size]: logits of the token after each one, in an empty context."""
        return self._model.logits(self._ids(tokens))

    def embed(self, texts: str | typing.Iterable[str], *, prompt: str | None = None, prompt_name: str | None = None,
              normalize: bool = False) -> np.ndarray:
        """Vectors of texts as Encoder.embed makes them, from the model's hidden states."""
        return _embed(self._model, texts, prompt, prompt_name, normalize)

    def generate(self, prompt: Prompt, *, max_tokens: int = 256, temperature: float = 0.0, top_k: int = 0,
                 top_p: float = 1.0, seed: int = 0, stop: str | typing.Sequence[str] = (),
                 on_text: typing.Callable[[str], typing.Any] | None = None) -> Generation:
        """The continuation of `prompt` (a text or token ids) as a Generation, which is a str.

        temperature 0 takes the likeliest token; top_k 0 draws from all. stop: texts that end the output and are no
        part of it. on_text: called with the output piece by piece; an exception in it ends the run.
        A prompt that begins as the last conversation went on needs only its new tokens computed.
        """
        stop = [stop] if isinstance(stop, str) else list(stop)
        return Generation(self._model.generate(self._ids(prompt), max_tokens, temperature, top_k, top_p, seed, stop,
                                               on_text))

    def render_chat(self, messages: Messages, tools: typing.Sequence[typing.Any] | None = None) -> tuple[str, list[int]]:
        """The text that the model's own chat template makes of the messages, with the beginning of an answer, and its
        token ids. messages: dicts with "role" and "content"; tools: as transformers' apply_chat_template takes them."""
        document = {"messages": list(messages)} if tools is None else {"messages": list(messages), "tools": list(tools)}
        return self._model.chat(json.dumps(document))

    def chat(self, messages: Messages, *, tools: typing.Sequence[typing.Any] | None = None,
             **options: typing.Any) -> Generation:
        """The answer to a conversation, with the options of generate(). For a stream:
        model.stream(model.render_chat(messages)[1])."""
        return self.generate(self.render_chat(messages, tools)[1], **options)

    def stream(self, prompt: Prompt, **options: typing.Any) -> typing.Iterator[str]:
        """An iterator over the pieces of generate(); leaving the loop ends the run."""
        pieces: queue.Queue[typing.Any] = queue.Queue()
        ended = threading.Event()

        def on_text(piece):
            if ended.is_set():
                raise _Left
            pieces.put(piece)

        def work():
            try:
                self.generate(prompt, on_text=on_text, **options)
                pieces.put(None)
            except _Left:
                pass
            except BaseException as error:  # goes to the loop's thread
                pieces.put(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            while True:
                piece = pieces.get()
                if piece is None:
                    return
                if isinstance(piece, BaseException):
                    raise piece
                yield piece
        finally:
            ended.set()
            thread.join()

    def _ids(self, prompt: Prompt) -> list[int]:
        return self.tokenize(prompt) if isinstance(prompt, str) else [int(t) for t in prompt]

    def __repr__(self):
        return f"<occ.Model {self.path!r}, {self.weight_bytes / 1e6:.1f} MB of weights>"


class Encoder:
    """A model that makes vectors of texts: an encoder such as BERT, or a causal model such as Qwen3-Embedding; a Hugging
    Face folder, a GGUF or a .occ file."""

    def __init__(self, path: str | os.PathLike[str], *, f32: bool = True):
        self.path = os.fspath(path)
        self._encoder = _core.Encoder(self.path, f32)

    def embed(self, texts: str | typing.Iterable[str], *, prompt: str | None = None, prompt_name: str | None = None,
              normalize: bool = False) -> np.ndarray:
        """float32 [len(texts), dim]; for a single text [dim]. The vectors of sentence-transformers' encode().

        prompt: put before every text; prompt_name: one of the model's own ("query"); without both the model's default.
        normalize: scale vectors to length 1, also where the model's modules do not.
        """
        return _embed(self._encoder, texts, prompt, prompt_name, normalize)

    def tokenize(self, text: str, special: bool = True) -> list[int]:
        return self._encoder.tokenize(text, special)

    def detokenize(self, tokens: typing.Iterable[int]) -> str:
        return self._encoder.detokenize(list(tokens))

    @property
    def weight_bytes(self) -> int:
        return self._encoder.weight_bytes


def _embed(model: typing.Any, texts: str | typing.Iterable[str], prompt: str | None, prompt_name: str | None,
           normalize: bool) -> np.ndarray:
    one = isinstance(texts, str)
    vectors = model.embed([texts] if one else list(texts), prompt, prompt_name, normalize)
    return vectors[0] if one else vectors


class _Left(Exception):
    """The loop over stream() was left."""
