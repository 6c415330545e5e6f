"""Where the tests find models. Those that need some skip visibly without them."""

import os
import pathlib

import pytest

DATA = pathlib.Path(os.environ.get("OCC_TEST_DATA") or os.environ.get("OCC_DEFAULT_TEST_DATA") or "/nonexistent")


def needed(path):
    if not path.exists():
        pytest.skip(f"needs {path.name} in OCC_TEST_DATA")
    return path


@pytest.fixture(scope="session")
def stories():
    """The folder of a language model of 260,000 weights."""
    return needed(DATA / "models/stories260k")


@pytest.fixture(scope="session")
def stories_archive(stories, tmp_path_factory):
    import occ
    path = tmp_path_factory.mktemp("stories") / "stories.occ"
    occ.compress(stories, path, bits=6, calibrate=False)
    return path


@pytest.fixture(scope="session")
def text():
    return needed(DATA / "text/tinystories_a.txt")
