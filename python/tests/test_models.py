import concurrent.futures
import json
import os
import pathlib
import shutil

import numpy as np
import pytest

import occ


def test_generate_is_greedy_by_its_own_logits(stories_archive):
    model = occ.Model(stories_archive)
    answer = model.generate("Once upon a time", max_tokens=12)
    ids = model.tokenize("Once upon a time")
    # The likeliest token after every prefix: the same walk, made from logits.
    for _ in range(12):
        ids.append(int(np.argmax(model.logits(ids)[-1])))
    assert model.detokenize(ids).endswith(str(answer))
    assert answer.tokens == 12 and answer.finish_reason == "length" and answer.prompt_tokens > 0


def test_stream_is_generate_and_may_be_left(stories_archive):
    model = occ.Model(stories_archive)
    whole = model.generate("The cat", max_tokens=30, temperature=1.0, seed=5)
    pieces = list(model.stream("The cat", max_tokens=30, temperature=1.0, seed=5))
    assert len(pieces) > 5 and "".join(pieces) == whole
    assert model.generate("The cat", max_tokens=30, temperature=1.0, seed=6) != whole
    for n, _ in enumerate(model.stream("The cat", max_tokens=400)):
        if n == 2:
            break
    assert model.generate("The cat", max_tokens=30, temperature=1.0, seed=5) == whole
    with pytest.raises(occ.UsageError):
        list(model.stream("The cat", temperature=-1.0))


def test_leaving_a_stream_ends_no_other_call(stories_archive):
    model, other = occ.Model(stories_archive), occ.Model(stories_archive)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answer = pool.submit(other.generate, "The cat", max_tokens=400)
        for _ in range(20):
            next(iter(model.stream("The dog", max_tokens=400)))
        assert answer.result().tokens > 0


def test_answers_may_end_inside_a_character(stories_archive):
    model = occ.Model(stories_archive)
    answers = [model.generate("The cat", max_tokens=8, temperature=50.0, seed=seed) for seed in range(20)]
    assert any("\ufffd" in answer for answer in answers)


def test_stop_and_context(stories_archive):
    model = occ.Model(stories_archive, context=32)
    whole = model.generate("Once upon a time", max_tokens=20)
    word = whole.split()[2]
    assert model.generate("Once upon a time", max_tokens=20, stop=word) == whole[: whole.index(word)]
    assert model.generate("Once upon a time", max_tokens=200).finish_reason == "context"
    assert model.logits([1, 5])[0].shape == (model.vocab_size,)
    with pytest.raises(occ.InputError):
        model.logits([model.vocab_size])


def test_chat_uses_the_template_of_the_model(stories, tmp_path):
    folder = tmp_path / "chat"
    shutil.copytree(stories, folder)
    os.chmod(folder, 0o755)
    (folder / "chat_template.jinja").write_text(
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}"
        "{% if tools %}{{ tools | length }} tools\n{% endif %}{% if add_generation_prompt %}[assistant]{% endif %}")
    model = occ.Model(folder)
    messages = [{"role": "user", "content": "Tell me a story"}]
    text, ids = model.render_chat(messages, tools=[{"name": "f"}])
    assert text == "<s>[user] Tell me a story\n1 tools\n[assistant]" and ids[0] == model.tokenize("")[0]
    assert model.chat(messages, max_tokens=8) == model.generate(model.render_chat(messages)[1], max_tokens=8)
    with pytest.raises(occ.InputError):
        occ.Model(stories).render_chat(messages)


def test_calibrated_models_are_better(stories, stories_archive, text, tmp_path):
    plain, calibrated = tmp_path / "plain.occ", tmp_path / "calibrated.occ"
    occ.compress(stories, plain, bits=3.5, calibrate=False)
    warned = []
    report = occ.compress(stories, calibrated, bits=3.5, calibrate=text, effort=1, progress=lambda *a: warned.append(a))
    assert report.loss > 0 and report.loss_tokens > 0 and len({p for p, _, _ in warned}) >= 3
    kl = [occ.evaluate(f, text=text, reference=stories, max_tokens=2048)["kl_mean"] for f in (plain, calibrated)]
    assert kl[1] < kl[0]


def test_what_decides_the_errors_itself_is_not_calibrated(stories, tmp_path):
    by_recipe = occ.compress(stories, tmp_path / "recipe.occ", recipe="uniform(bits=4) > rans")
    plain = occ.compress(stories, tmp_path / "plain.occ", recipe="uniform(bits=4) > rans", calibrate=False)
    assert by_recipe.loss is None and plain.loss is None
    assert (tmp_path / "recipe.occ").read_bytes() == (tmp_path / "plain.occ").read_bytes()


def test_state_dict_of_torch(stories_archive):
    torch = pytest.importorskip("torch")
    import occ.torch
    state = occ.torch.load_state_dict(stories_archive, dtype=torch.bfloat16)
    with occ.open(stories_archive) as f:
        assert set(state) == set(f)
        name = next(n for n, t in f.items() if t.recipe)
        assert torch.equal(state[name], torch.from_numpy(np.asarray(f[name])).bfloat16())


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_transformers_gives_the_same_logits(stories_archive, on_the_fly):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    import occ.transformers
    ids = [1, 403, 407, 261, 378]
    ours = occ.Model(stories_archive, f32=True).logits(ids)
    model = occ.transformers.load(stories_archive, on_the_fly=on_the_fly)
    with torch.no_grad():
        theirs = model(torch.tensor([ids])).logits[0].numpy()
    assert np.max(np.abs(ours - theirs)) < 1e-3 * np.max(np.abs(theirs))


def test_encoder_of_a_folder(tmp_path):
    source = pathlib.Path(__file__).parents[2] / "tests/expected/models/bert"
    config = json.loads((source / "plain.config.json").read_text())
    shutil.copy(source / "model.safetensors", tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "world"]
    vocab = {w: i for i, w in enumerate(words + [f"w{i}" for i in range(len(words), config["vocab_size"])])}
    (tmp_path / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "added_tokens": [], "normalizer": {"type": "BertNormalizer", "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab}}))
    encoder = occ.Encoder(tmp_path)
    assert encoder.tokenize("Hello world") == [2, 5, 6, 3]
    vectors = encoder.embed(["hello world", "world"])
    assert vectors.shape == (2, config["hidden_size"]) and not np.allclose(vectors[0], vectors[1])
    assert np.allclose(encoder.embed("hello world"), vectors[0], atol=1e-5)
    with pytest.raises(occ.Error):
        occ.Model(tmp_path)
