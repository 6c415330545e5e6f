import os
import threading
import time

import numpy as np
import pytest

import occ

RNG = np.random.default_rng(1)


def nmse(a, b):
    return float(np.sum((a - b) ** 2) / np.sum(a**2))


def test_array_round_trip_meets_the_rate_and_theory(tmp_path):
    w = RNG.standard_normal((512, 512)).astype(np.float32)
    report = occ.compress(w, tmp_path / "w.occ", bits=3)
    assert report.bpw <= 3 and report.file_bytes == os.path.getsize(tmp_path / "w.occ") and report.verified
    with occ.open(tmp_path / "w.occ") as f:
        assert list(f) == ["array"]
        back = np.asarray(f["array"])
        assert f.bits_per_weight == pytest.approx(report.bpw)
    error = nmse(w, back)
    assert error == pytest.approx(report.nmse, rel=1e-4)
    # Between Shannon's bound at the real rate and twice that bound.
    assert 2 ** (-2 * report.bpw) <= error <= 2 * 2 ** (-2 * report.bpw)


def test_state_dict_keeps_names_types_and_integers(tmp_path):
    state = {"a.weight": RNG.standard_normal((128, 256)).astype(np.float16), "a.bias": RNG.standard_normal(128),
             "steps": np.arange(7, dtype=np.int64), "scalar": np.float32(2.5), "empty": np.zeros((0, 4), np.float32)}
    report = occ.compress(state, tmp_path / "s.occ", bits=8)
    assert [t.name for t in report.tensors if t.recipe] == ["a.weight"]
    with occ.open(tmp_path / "s.occ") as f:
        assert {n: (t.dtype, t.shape) for n, t in f.items()} == {
            "a.weight": ("F16", (128, 256)), "a.bias": ("F64", (128,)), "steps": ("I64", (7,)), "scalar": ("F32", ()),
            "empty": ("F32", (0, 4))}
        assert np.array_equal(f["steps"][:], state["steps"]) and f["steps"][:].dtype == np.int64
        assert np.array_equal(np.asarray(f["a.bias"]), state["a.bias"])
        assert float(np.asarray(f["scalar"])) == 2.5
        assert f["empty"][:].shape == (0, 4)
        with pytest.raises(KeyError):
            f["b"]


@pytest.mark.parametrize("key", [3, -1, slice(2, 5), slice(9, 2, -3), slice(5, 5), (4, 3), (slice(1, 4), slice(None, 9)),
                                 Ellipsis, (Ellipsis, 2), (0, slice(None), [0, 1]), True, [1, 5], None, (slice(None), None, 3)])
def test_indexing_is_that_of_numpy(tmp_path, key):
    w = RNG.standard_normal((12, 4, 40)).astype(np.float32)
    occ.compress({"w": w}, tmp_path / "w.occ", method="rtn", bits=8)
    with occ.open(tmp_path / "w.occ") as f:
        whole = np.asarray(f["w"])
        assert whole.shape == w.shape and nmse(w, whole) < 1e-3
        assert np.array_equal(f["w"][key], whole[key])


def test_codec_is_deterministic_and_finds_damage():
    w = RNG.standard_normal((64, 128)).astype(np.float32)
    codec = occ.Codec(bits=4, seed=3)
    data = codec.encode(w)
    assert isinstance(data, bytes) and data == codec.encode(w)
    assert nmse(w, occ.Codec.decode(data)) < 0.02
    damaged = bytearray(data)
    damaged[-20] ^= 1
    with pytest.raises(occ.InputError):
        occ.Codec.decode(bytes(damaged))


def test_errors_have_kinds_and_leave_nothing(tmp_path):
    w = RNG.standard_normal((64, 64)).astype(np.float32)
    with pytest.raises(occ.UsageError, match="nonsense"):
        occ.compress(w, tmp_path / "w.occ", method="nonsense")
    with pytest.raises(occ.UsageError, match="complex64"):
        occ.compress(w.astype(np.complex64), tmp_path / "w.occ")
    with pytest.raises(occ.InputError):
        w[3, 5] = np.nan
        occ.compress(w, tmp_path / "w.occ")
    (tmp_path / "x.safetensors").write_bytes(b"nothing")
    with pytest.raises(occ.InputError, match="x.safetensors"):
        occ.open(tmp_path / "x.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.safetensors"]
    occ.compress(np.ones((64, 64), np.float32), tmp_path / "w.occ")
    with pytest.raises(occ.FailedError):
        occ.compress(np.ones((64, 64), np.float32), tmp_path / "w.occ")
    assert issubclass(occ.InputError, ValueError) and issubclass(occ.UsageError, occ.Error)


def test_progress_runs_on_the_calling_thread_and_may_end_the_run(tmp_path):
    w = RNG.standard_normal((2048, 2048)).astype(np.float32)
    calls = []
    occ.compress(w, tmp_path / "w.occ", progress=lambda *a: calls.append((threading.get_ident(), *a)))
    assert {c[0] for c in calls} == {threading.get_ident()}
    assert calls[-1][2] == calls[-1][3] > 0

    class Enough(Exception):
        pass

    def stop(*_):
        raise Enough

    with pytest.raises(Enough):
        occ.compress(w, tmp_path / "v.occ", progress=stop)
    with pytest.raises(occ.UsageError, match="bits"):
        occ.compress(w, tmp_path / "v.occ", bits="3")
    assert not (tmp_path / "v.occ").exists()
    occ.compress(w[:64], tmp_path / "u.occ")  # the interruption is over


def test_the_lock_is_free_and_ctrl_c_works(tmp_path):
    import signal
    w = RNG.standard_normal((4096, 4096)).astype(np.float32)
    beats = []

    def beat():
        while not beats or beats[-1] is not None:
            beats.append(1)
            if len(beats) == 20:
                signal.raise_signal(signal.SIGINT)  # as the terminal would
            time.sleep(0.01)

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        occ.compress(w, tmp_path / "w.occ", effort=9)
    beats.append(None)
    assert len(beats) >= 20 and not (tmp_path / "w.occ").exists()


def test_methods_and_inspect(tmp_path):
    assert {"auto", "rtn", "pcdvq"} <= {m["name"] for m in occ.methods()["methods"]}
    occ.compress(RNG.standard_normal((256, 256)).astype(np.float32), tmp_path / "w.occ", bits=3)
    with occ.open(tmp_path / "w.occ") as f:
        assert 0 < f.limits()["total"]["gap_bits"] < 0.6
        assert f.metadata["version"] >= 1
        f.verify()
    with pytest.raises(occ.InputError, match="w.npy"):
        occ.inspect(tmp_path / "w.npy")
