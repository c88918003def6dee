"""What a plugin's author reaches for through self, and that it is taken back."""

from __future__ import annotations

import gc
import json
import threading
import time
import weakref

import pytest
import qtforge

LIMIT = 10.0


@pytest.fixture(autouse=True)
def data_home(tmp_path, monkeypatch):
    """Where plugins keep their files."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "qtforge" / "plugins"


@pytest.fixture
def load(plugin_folder):
    """Loads a plugin and unloads it at the end."""
    loaded = []

    def make(name, source, **manifest):
        loaded.append(qtforge.load(plugin_folder(name, source, **manifest)))
        return loaded[-1]

    yield make
    for plugin in loaded:
        plugin.unload()


def soon(condition):
    end = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


BASICS = """
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        def __init__(self):
            self.seen = (self.name(), self.path, self.data_dir)
            self.log.info("made %d", 1)
"""


def test_folder_and_data_folder_are_there_from_the_constructor_on(load, tmp_path, data_home, capfd):
    plugin = load("author_basics", BASICS)
    name, path, data = plugin.object.seen
    assert name == "author_basics"
    assert path == tmp_path / "author_basics"
    assert data == data_home / "author_basics"
    assert data.is_dir()
    line = next(line for line in capfd.readouterr().err.splitlines() if "made 1" in line)
    assert "author_basics" in line


def test_what_a_plugin_sets_itself_stands_before_what_the_host_gives(load):
    plugin = load(
        "author_own",
        """
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            path = "mine"
            def __init__(self):
                self.log = []
                self.store = {}
        """,
    )
    assert (plugin.object.path, plugin.object.log, plugin.object.store) == ("mine", [], {})


def test_an_instance_that_no_host_made_says_so():
    class Alone(qtforge.IPlugin):
        pass

    for use in (
        lambda p: p.log,
        lambda p: p.path,
        lambda p: p.store,
        lambda p: p.every(1, print),
        lambda p: p.run_in_thread(print),
        lambda p: p.on_unload(print),
    ):
        with pytest.raises(qtforge.PluginError, match="Alone was not made by a host"):
            use(Alone())


PLAIN = """
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        pass
"""


def test_the_store_keeps_its_values_over_a_reload(load, plugin_folder, data_home):
    folder = plugin_folder("author_store", PLAIN)
    plugin = qtforge.load(folder)
    store = plugin.object.store
    assert dict(store) == {}
    store["count"] = 3
    store.update({"names": ["ä", "b"]}, deep={"x": [1.5, None, True]})
    del store["count"]
    file = data_home / "author_store" / "store.json"
    assert json.loads(file.read_text(encoding="utf-8")) == {"names": ["ä", "b"], "deep": {"x": [1.5, None, True]}}
    plugin.unload()
    with qtforge.load(folder) as again:
        assert dict(again.object.store) == dict(store)


def test_the_store_refuses_what_is_no_json_and_keeps_what_it_had(load, data_home):
    store = load("author_refuses", PLAIN).object.store
    store["a"] = 1
    file = data_home / "author_refuses" / "store.json"
    before = file.read_bytes()
    for value in ({1, 2}, float("nan"), object(), b"x"):
        with pytest.raises((TypeError, ValueError)):
            store["b"] = value
    with pytest.raises(TypeError, match="str"):
        store[1] = 2
    with pytest.raises(TypeError, match="str"):
        store.update({1: 2})
    with pytest.raises(KeyError):
        del store["missing"]
    assert dict(store) == {"a": 1}
    assert file.read_bytes() == before
    assert [p.name for p in file.parent.iterdir()] == ["store.json"]


@pytest.mark.parametrize("text", ["{", "[1]", "", '{"a": 1'])
def test_a_broken_store_is_named_and_left_as_it_is(load, data_home, text):
    folder = data_home / "author_broken"
    folder.mkdir(parents=True)
    (folder / "store.json").write_text(text)
    plugin = load("author_broken", PLAIN)
    with pytest.raises(qtforge.PluginError, match=r"store\.json"):
        _ = plugin.object.store
    assert (folder / "store.json").read_text() == text


TIMERS = """
    import threading
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        def __init__(self):
            self.ticks, self.once, self.threads = 0, 0, set()

        def initialize(self):
            self.timer = self.every(0.005, self.tick)
            self.later(0.01, self.count)
            self.every(0.005, self.fail)

        def tick(self):
            self.ticks += 1
            self.threads.add(threading.current_thread())

        def count(self):
            self.once += 1

        def fail(self):
            raise ValueError("not today")
"""


def test_timers_call_on_the_lane_until_they_are_stopped(load, capfd):
    plugin = load("author_timers", TIMERS)
    sample = plugin.object
    plugin.initialize()
    soon(lambda: sample.ticks >= 5 and sample.once)
    assert len(sample.threads) == 1
    assert threading.current_thread() not in sample.threads
    assert "ValueError: not today" in capfd.readouterr().err
    sample.timer.stop()
    sample.timer.stop()
    passed = threading.Event()
    sample.later(0.001, passed.set)  # behind a call that was under way
    assert passed.wait(LIMIT)
    ticks = sample.ticks
    time.sleep(0.05)  # ten intervals in which nothing is to come
    assert (sample.ticks, sample.once) == (ticks, 1)


def test_timers_end_with_cleanup_and_begin_anew_with_initialize(load):
    plugin = load("author_again", TIMERS)
    sample = plugin.object
    plugin.initialize()
    soon(lambda: sample.ticks)
    plugin.cleanup()
    ticks = sample.ticks
    time.sleep(0.05)  # ten intervals in which nothing is to come
    assert sample.ticks == ticks
    plugin.initialize()
    soon(lambda: sample.ticks > ticks)


def test_single_calls_leave_nothing_behind(load):
    from qtforge import _author

    plugin = load("author_single", PLAIN)
    sample = plugin.object
    plugin.initialize()
    done = []
    for n in range(200):
        sample.later(0.001, lambda n=n: done.append(n))
    soon(lambda: len(done) == 200)
    assert not _author.ledger_of(sample)._entries


@pytest.mark.parametrize(
    ("seconds", "error"), [(0, ValueError), (-1, ValueError), (float("nan"), ValueError), ("1", TypeError)]
)
def test_an_interval_that_is_none_is_refused(load, seconds, error):
    sample = load("author_interval", PLAIN).object
    with pytest.raises(error):
        sample.every(seconds, print)
    with pytest.raises(TypeError):
        sample.every(1, "print")


SUBSCRIBED = """
    from qtforge import subscribe
    from qtforge.core import IPlugin

    class Base(IPlugin):
        def __init__(self):
            self.got = []

        @subscribe("author.a")
        @subscribe("author.b.*")
        def on_any(self, payload):
            self.got.append(payload)

        @subscribe("author.base")
        def on_base(self, payload):
            self.got.append("never")

    class Sample(Base):
        def on_base(self, payload):
            self.got.append("not subscribed any more")

        @subscribe("author.message", envelope=True)
        def on_message(self, message):
            self.got.append(message.topic)

        @staticmethod
        @subscribe("author.static")
        def on_static(payload):
            raise ValueError(payload)
"""


def test_marked_methods_are_subscribed_from_initialize_to_cleanup(load, bus):
    plugin = load("author_subscribed", SUBSCRIBED)
    sample = plugin.object

    def publish():
        for topic in ("author.a", "author.b.c", "author.base", "author.message"):
            bus.publish(topic, topic)
        bus.drain()

    publish()
    assert sample.got == []
    plugin.initialize()
    assert bus.publish("author.static", 1) == 1
    publish()
    assert sorted(sample.got) == ["author.a", "author.b.c", "author.message"]
    plugin.cleanup()
    publish()
    assert len(sample.got) == 3
    plugin.initialize()
    publish()
    assert len(sample.got) == 6


def test_a_wrong_pattern_of_a_method_fails_initialize_and_leaves_none_subscribed(load, bus):
    plugin = load(
        "author_pattern",
        """
        from qtforge import subscribe
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            @subscribe("author.fine")
            def a(self, payload): ...

            @subscribe("author..wrong")
            def b(self, payload): ...
        """,
    )
    with pytest.raises(qtforge.PluginError, match=r"author\.\.wrong"):
        plugin.initialize()
    assert bus.publish("author.fine", 1) == 0
    with pytest.raises(TypeError, match="pattern"):
        qtforge.subscribe(print)


THREADS = """
    import time
    from qtforge.core import IPlugin

    class Sample(IPlugin):
        def initialize(self):
            self.loops = 0
            self.sum = self.run_in_thread(lambda a, b=0: a + b, 1, b=2)
            self.failing = self.run_in_thread(self.fail)
            self.run_in_thread(self.loop)

        def fail(self):
            raise SystemExit("out")

        def loop(self):
            while not self.stopping.wait(0.001):
                self.loops += 1

        def hang(self, event):
            event.wait()
"""


def test_threads_give_their_results_and_end_when_they_are_told(load, capfd):
    plugin = load("author_threads", THREADS)
    sample = plugin.object
    plugin.initialize()
    assert sample.sum.result(LIMIT) == 3
    assert isinstance(sample.failing.exception(LIMIT), SystemExit)
    soon(lambda: sample.loops)
    names = lambda: [t.name for t in threading.enumerate() if t.name.startswith("author_threads:")]
    soon(lambda: len(names()) == 1)
    begin = time.monotonic()
    plugin.unload()
    assert time.monotonic() - begin < 1.5
    assert names() == []
    assert "SystemExit: out" in capfd.readouterr().err


def test_a_thread_that_does_not_end_is_named(load, capfd):
    plugin = load("author_hangs", THREADS)
    event = threading.Event()
    plugin.object.run_in_thread(plugin.object.hang, event)
    plugin.unload()
    event.set()
    assert "thread 'author_hangs: Sample.hang'" in capfd.readouterr().err


def test_functions_for_the_unload_are_called_the_last_first_whatever_raises(load, capfd):
    plugin = load(
        "author_unload",
        """
        from qtforge.core import IPlugin

        calls = []

        class Sample(IPlugin):
            def __init__(self):
                self.calls = calls
                self.on_unload(lambda: calls.append("constructor"))

            def initialize(self):
                self.on_unload(lambda: calls.append("first"))
                self.on_unload(lambda: 1 / 0)
                self.on_unload(lambda: calls.append("last"))

            def cleanup(self):
                calls.append("cleanup")
                raise RuntimeError("no")
        """,
    )
    calls = plugin.object.calls
    plugin.initialize()
    plugin.unload()
    assert calls == ["cleanup", "last", "first", "constructor"]
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_what_comes_during_and_after_the_unload_is_refused_and_stays_nowhere(load, plugin_folder, capfd):
    from qtforge import _author

    folder = plugin_folder(
        "author_late",
        """
        import threading
        from qtforge.core import IPlugin

        late = []

        class Sample(IPlugin):
            def __init__(self):
                self.late, self.go = late, threading.Event()
                self.on_unload(self.more)
                self.run_in_thread(self.hang)

            def more(self):
                for start in (lambda: self.on_unload(self.more), lambda: self.every(1, self.more),
                              lambda: self.run_in_thread(self.more)):
                    try:
                        start()
                    except Exception as error:
                        late.append(error.code.name)

            def hang(self):
                self.go.wait()
                self.more()
                late.append("done")
        """,
    )
    plugin = qtforge.load(folder)
    late, go = plugin.object.late, plugin.object.go
    before = len(_author._ledgers)
    begin = time.monotonic()
    plugin.initialize()
    plugin.unload()
    assert time.monotonic() - begin < 3.5  # the thread is waited for once
    assert late == ["PLUGIN_UNLOADED"] * 3
    go.set()
    soon(lambda: late[-1] == "done")
    assert late[3:-1] == ["PLUGIN_NOT_FOUND"] * 3
    assert len(_author._ledgers) == before - 1
    assert capfd.readouterr().err.count("still running") == 1


def test_nothing_of_the_plugin_lives_after_the_unload(load):
    plugin = load("author_gone", TIMERS)
    plugin.initialize()
    sample = weakref.ref(plugin.object)
    sample().on_unload(sample().count)
    sample().run_in_thread(sample().count).result(LIMIT)
    plugin.unload()
    gc.collect()
    soon(lambda: sample() is None)
