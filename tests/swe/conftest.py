"""Backends to try, where this machine can have them."""

import contextlib
import functools

import pytest

from palaestra.envs.swe.sandboxes.bubblewrap import Bubblewrap
from palaestra.envs.swe.sandboxes.fake import Fake
from palaestra.envs.swe.sandboxes.local import UnsafeLocal


@functools.cache
def why_no_bubblewrap() -> str:
    """Why there are no sandboxes of bubblewrap here; empty if there are."""
    try:
        with Bubblewrap() as backend, backend.start() as sandbox:
            result = sandbox.exec(["true"])
            return "" if result.ok else f"`true` fails in it: {result}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def make_backend(name):
    if name == "fake":
        return Fake()
    if name == "unsafe-local":
        return UnsafeLocal(trusted=True)
    if why_no_bubblewrap():
        pytest.skip(f"NO SANDBOXES OF BUBBLEWRAP ON THIS MACHINE: {why_no_bubblewrap()}")
    return Bubblewrap(bounds="rlimits" if name == "bubblewrap-rlimits" else "auto")


@pytest.fixture(scope="module")
def backend_of():
    with contextlib.ExitStack() as stack:

        @functools.cache
        def get(name):
            return stack.enter_context(contextlib.closing(make_backend(name)))

        yield get


@pytest.fixture
def bubblewrap():
    with make_backend("bubblewrap") as backend:
        yield backend
