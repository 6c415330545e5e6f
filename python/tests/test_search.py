import numpy as np
import pytest

import occ

RNG = np.random.default_rng(3)


def test_search_equals_brute_force_over_decoded_vectors(tmp_path):
    x = RNG.standard_normal((2000, 32)).astype(np.float32)
    occ.compress(x, tmp_path / "x.occ", recipe="pq(m=16, k=16) > bitpack")
    index = occ.VectorIndex(tmp_path / "x.occ")
    assert len(index) == 2000 and index.dimension == 32 and index.kinds == ["16 codes of 4 bits"]
    decoded = index[range(2000)]
    queries = RNG.standard_normal((5, 32)).astype(np.float32)
    ids, distances = index.search(queries, k=7)
    assert ids.shape == distances.shape == (5, 7)
    exact = ((queries[:, None] - decoded[None]) ** 2).sum(2)
    assert np.allclose(distances, np.sort(exact, axis=1)[:, :7], rtol=1e-4)
    one, _ = index.search(queries[2], k=7)
    assert np.array_equal(one, ids[2])
    products = index.search(queries, k=3, metric="ip")[1]
    assert np.allclose(products, -np.sort(-queries @ decoded.T, axis=1)[:, :3], rtol=1e-4)
    with pytest.raises(occ.InputError, match="dimension 32"):
        index.search(queries[:, :31])
    with pytest.raises(occ.UsageError):
        index.search(queries, metric="l1")
    assert np.array_equal(index[-1], index[1999]) and sum(1 for _ in index) == 2000
    with pytest.raises(IndexError):
        index[2000]
