"""What the tests of this folder share."""

import os

import pytest


@pytest.fixture
def told_to_sanitizers():
    """The environment, with more options for a sanitizer that the program may be built with: what Python itself leaves at the
    end of a process is no leak of ours."""

    def environment(options):
        more = {name: f"{os.environ.get(name, '')}:{options}" for name in ("ASAN_OPTIONS", "TSAN_OPTIONS")}
        return {**os.environ, **more} if options else dict(os.environ)

    return environment


def pytest_configure(config):
    config.addinivalue_line("markers", "plain(reason): not with sanitizers, for that reason")


def pytest_collection_modifyitems(items):
    for item in items:
        mark = item.get_closest_marker("plain")
        if mark and os.environ.get("QTFORGE_SANITIZER"):
            item.add_marker(pytest.mark.skip(reason=mark.args[0]))
