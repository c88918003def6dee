"""The table between host and extension: taken from a host, checked, and refused with words that help."""

from __future__ import annotations

import shutil
import subprocess

import pytest
import qtforge


def test_a_hosts_table_is_used_and_its_end_is_left_to_the_host(hosted):
    ran = hosted("""
        import atexit
        from hosted import host
        calls = host()
        atexit.register(lambda: calls["shutdown"] and print("shut down"))
        import qtforge
        bus = qtforge.MessageBus.instance()
        assert bus.publish("a", {"n": 1}) == 7
        assert bus.publish("a", 1, retain=True) == 7
        assert calls["publish"] == [("a", {"n": 1}, None, None, 0), ("a", 1, None, None, 1)]
        assert bus.request("a", 2, timeout=3) == {"answer": 42}
        assert calls["request"] == [("a", 2, 3.0, 0)]
        assert bus.clear_retained("a.>") == 2
        assert bus.tap(print, every=3, owner=bus).pattern == ">"
        assert calls["tap"] == [(">", print, {"every": 3, "owner": bus})]
        bus.tap(print, "a", filter=repr)
        assert calls["knows_option"] == [(b"filter",)] and calls["tap"][1] == ("a", print, {"filter": repr})
        subscription = bus.subscribe("b", print, capacity=3, envelope=True, owner=bus)
        assert calls["subscribe"][0][:2] == ("b", print)
        assert subscription.unsubscribe() is True and calls["unsubscribe"] == [(42,)]
        assert subscription.active is False
        bus.drain(2)
        bus.drain(float("inf"))
        assert calls["drain"] == [(2.0,), (1e6,)]
        plugin = qtforge.load("somewhere")
        plugin.initialize()
        assert calls["plugin_step"] == [(1, b"initialize")]
        assert plugin.state is qtforge.PluginState.INITIALIZED and plugin.name == "n"
        class P(qtforge.IPlugin): pass
        assert P().state() is qtforge.PluginState.ACTIVE and P().name() == "told" and P().version() == "2"
        assert dict(P().config) == {"timeout": 30} and plugin.configuration == {"timeout": 31}
        plugin.configure({"timeout": 5})
        plugin.keep_configuration("kept.json")
        assert calls["plugin_configure"] == [(1, {"timeout": 5})]
        assert calls["plugin_keep_configuration"] == [(1, "kept.json")]
        qtforge.set_debug_mode(True)
        assert calls["set_log_level"] == [(1,)]
        print("fine")
    """)
    assert ran.stdout == "fine\n"


def test_a_host_without_the_later_members_serves(hosted):
    hosted("""
        from hosted import host, Bridge
        calls = host(size=Bridge.plugin_description.offset)
        import qtforge
        class P(qtforge.IPlugin): pass
        assert P().name() == "P" and P().version() == ""
        assert calls["plugin_description"] == []
        try:
            P().config
        except qtforge.Error as error:
            assert "older qtforge" in str(error)
        else:
            raise AssertionError("there were settings")
        for call in (lambda bus: bus.request("a", 1), lambda bus: bus.clear_retained(">"), lambda bus: bus.tap(print)):
            try:
                call(qtforge.MessageBus.instance())
            except qtforge.Error as error:
                assert "older qtforge" in str(error)
            else:
                raise AssertionError("it was called")
        assert calls["request"] == calls["clear_retained"] == calls["tap"] == []
    """)


@pytest.mark.parametrize("how", ["version=2", "version=0", "size=Bridge.shutdown.offset", "size=16"])
def test_another_table_raises_ImportError_that_names_both(hosted, how):
    hosted(f"""
        from hosted import host, Bridge
        calls = host({how})
        try:
            import qtforge
        except ImportError as error:
            text = str(error)
        for word in ("a made-up host", "bridge version", "needs version 1", "Python 3.", "install the package qtforge"):
            assert word in text, text
        assert not any(calls.values())
    """)


@pytest.mark.parametrize("what", ["3", "object()", "host(name=b'else') and sys._qtforge_bridge"])
def test_something_else_in_its_place_raises_ImportError(hosted, what):
    hosted(f"""
        import sys
        from hosted import host
        sys._qtforge_bridge = {what}
        try:
            import qtforge
        except ImportError as error:
            assert "sys._qtforge_bridge" in str(error) and "qtforge.bridge.v1" in str(error), error
        else:
            raise SystemExit("imported")
    """)


def test_the_extension_exports_its_entry_alone():
    if not shutil.which("nm"):
        pytest.skip("nm is not here")
    listed = subprocess.run(
        ["nm", "-D", "--defined-only", qtforge._qtforge.__file__], text=True, capture_output=True, check=True
    )
    assert [line.split()[-1] for line in listed.stdout.splitlines()] == ["PyInit__qtforge"]
