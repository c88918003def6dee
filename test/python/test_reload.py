"""Reload of a plugin while it runs: the new version takes over, or the old one goes on with nothing lost."""

from __future__ import annotations

import gc
import json
import os
import sys
import textwrap
import threading
import time
import weakref

import pytest
import qtforge
from qtforge import ErrorCode, PluginState

LIMIT = 30.0

# VERSION and what else a test replaces.
SOURCE = """
    import threading

    import qtforge
    from qtforge.core import IPlugin

    import helper

    VERSION = 1

    class Sample(IPlugin):
        def initialize(self):
            self.count = 0
            self.bus = qtforge.MessageBus.instance()
            self.bus.subscribe("reload.n", self.on_number)

        def on_number(self, n):
            self.count += 1
            self.bus.publish("reload.out", [VERSION, helper.VERSION, n, self.count])

        def save_state(self):
            return {"count": self.count}

        def restore_state(self, state):
            self.count = state["count"]

        def version_of_it(self):
            return VERSION

        def cleanup(self):
            self.bus.publish("reload.cleaned", VERSION)
"""


class Author:
    """A plugin's folder, and the hand that changes it."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, version, *changes, helper=None):
        source = textwrap.dedent(SOURCE).replace("VERSION = 1", f"VERSION = {version}")
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        (self.folder / "helper.py").write_text(f"VERSION = {version if helper is None else helper}\n")
        (self.folder / "main.py").write_text(source)

    def manifest(self, **fields):
        path = self.folder / "plugin.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


@pytest.fixture
def author(plugin_folder):
    made = Author(plugin_folder("reloaded", SOURCE))
    made.write(1)
    return made


@pytest.fixture
def plugin(author):
    with qtforge.load(author.folder) as made:
        made.initialize()
        made.activate()
        yield made


def modules():
    return {name: module for name, module in sys.modules.items() if name.startswith("qtforge_plugins.reloaded")}


@pytest.fixture
def publishing(bus):
    """Publishes numbers without a pause, on another thread, until what it returns is called: that says how many."""
    stop, published = threading.Event(), [0]

    def publish():
        while not stop.is_set():
            bus.publish("reload.n", published[0])
            published[0] += 1

    thread = threading.Thread(target=publish)

    def end():
        stop.set()
        thread.join(LIMIT)
        return published[0]

    def begin():
        thread.start()
        return end

    yield begin
    if thread.ident:
        end()


def test_the_new_version_is_there_with_state_and_handles(bus, inbox, author, plugin):
    out, told, cleaned = inbox("reload.out"), inbox("qtforge.reload"), inbox("reload.cleaned")
    found = qtforge.find("reloaded")
    before = plugin.object
    bus.publish("reload.n", 1)
    assert out.get() == [1, 1, 1, 1]
    author.write(2)
    author.manifest(version="1.3.0")
    plugin.reload()
    bus.publish("reload.n", 2)
    assert out.get() == [2, 2, 2, 2]
    assert (plugin.state, plugin.version) == (PluginState.ACTIVE, "1.3.0")
    assert plugin.object is not before
    assert plugin.object.state() is PluginState.ACTIVE
    assert found.version_of_it() == 2
    assert cleaned.get() == 1
    message = told.get()
    assert message.pop("milliseconds") > 0
    assert message == {"plugin": "reloaded", "ok": True, "from": "1.2.3", "to": "1.3.0"}


def test_an_edit_of_the_same_size_in_the_same_second_counts(author, plugin):
    for version in range(2, 10):
        author.write(version)
        os.utime(author.folder / "main.py", (1_700_000_000, 1_700_000_000))
        os.utime(author.folder / "helper.py", (1_700_000_000, 1_700_000_000))
        plugin.reload()
        assert qtforge.find("reloaded").version_of_it() == version


class Sequence:
    """Checks that numbers come one after the other, each once, from versions that only grow, with the state of the one before."""

    def __init__(self):
        self.count, self.versions, self.wrong = 0, [], None

    def take(self, message):
        version, helper, n, seen = message
        if version not in self.versions:
            self.versions.append(version)
        if self.wrong is None and (n, seen, helper, self.versions[-1]) != (self.count, self.count + 1, version, version):
            self.wrong = message
        self.count += 1


def test_every_message_is_handled_once_and_in_order_beside_50_reloads(bus, author, plugin, publishing):
    out = Sequence()
    with bus.subscribe("reload.out", out.take):
        end = publishing()
        for version in range(2, 52):
            author.write(version)
            plugin.reload()
        count = end()
        bus.drain(LIMIT)
    assert out.wrong is None
    assert out.count == count
    assert len(out.versions) > 10


BROKEN = {
    "syntax": ([("VERSION = 1", "def (:")], "main.py, line"),
    "import": ([("import helper", "import nobody_has_this")], "nobody_has_this"),
    "raises_at_import": ([("VERSION = 1", "VERSION = 1 / 0")], "ZeroDivisionError"),
    "exits_at_import": ([("import helper", "import helper, sys; sys.exit(3)")], "SystemExit"),
    "no_class": ([("class Sample", "class Other")], "has no class 'Sample'"),
    "constructor": ([("def initialize(self):", "def __init__(self): raise OSError('no')\n    def initialize(self):")], "no"),
    "returns_false": ([("self.bus.subscribe(", "return False\n        self.bus.subscribe(")], "returned False"),
    "initialize_after_subscribing": ([("self.on_number)", "self.on_number)\n        raise KeyError('x')")], "KeyError"),
    "exits": ([("self.count = 0", "raise SystemExit(7)")], "SystemExit"),
    "memory": ([("self.count = 0", "raise MemoryError")], "MemoryError"),
    "interrupt": ([("self.count = 0", "raise KeyboardInterrupt")], "KeyboardInterrupt"),
    "activate": ([("def on_number", "def activate(self): raise ValueError('not now')\n    def on_number")], "not now"),
    "restore": ([("self.count = state", "self.count = state['nobody'], state")], "restore_state: raised: KeyError"),
    "incompatible": ([("def on_number", "def is_compatible(self, v): return False\n    def on_number")], "not compatible"),
    "another_name": ([("def on_number", "def name(self): return 'other'\n    def on_number")], "calls itself 'other'"),
    "bad_pattern": ([('"reload.n"', '"reload..n"')], "pattern"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_version_that_fails_leaves_the_old_one_as_it_was(bus, inbox, author, plugin, kind):
    changes, says = BROKEN[kind]
    out, told = inbox("reload.out"), inbox("qtforge.reload")
    known, instance, environment = modules(), plugin.object, dict(os.environ)
    changes = [(old.replace("VERSION = 1", "VERSION = 2"), new) for old, new in changes]
    author.write(2, *changes)
    bus.publish("reload.n", 1)
    with pytest.raises(qtforge.Error, match="cannot reload plugin 'reloaded'") as raised:
        plugin.reload()
    assert says in str(raised.value)
    bus.publish("reload.n", 2)
    assert out.take(2) == [[1, 1, 1, 1], [1, 1, 2, 2]]
    message = told.get()
    assert (message["plugin"], message["ok"], message["from"]) == ("reloaded", False, "1.2.3")
    assert message["error"] == str(raised.value).splitlines()[0]
    assert (plugin.state, plugin.object) == (PluginState.ACTIVE, instance)
    assert modules() == known
    assert dict(os.environ) == environment
    author.write(3)
    plugin.reload()
    bus.publish("reload.n", 3)
    assert out.get() == [3, 3, 3, 3]


def test_the_place_in_the_code_is_told(author, inbox, plugin):
    told = inbox("qtforge.reload")
    author.write(2, ("self.count = 0", "self.nobody"))
    with pytest.raises(qtforge.PluginError):
        plugin.reload()
    assert f'{author.folder}/main.py", line 1' in told.get()["traceback"]


def test_a_save_state_that_fails_leaves_the_old_one(bus, inbox, author):
    out = inbox("reload.out")
    author.write(1, ('return {"count"', 'raise RuntimeError("cannot save")\n        return {"count"'))
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        author.write(2)
        with pytest.raises(qtforge.PluginError, match="save_state: raised: RuntimeError: cannot save"):
            plugin.reload()
        bus.publish("reload.n", 1)
        assert out.get() == [1, 1, 1, 1]


@pytest.mark.parametrize("method", ["save_state", "restore_state"])
def test_without_one_of_the_functions_the_new_version_begins_anew(bus, inbox, author, plugin, method):
    out = inbox("reload.out")
    bus.publish("reload.n", 1)
    assert out.get() == [1, 1, 1, 1]
    if method == "save_state":
        author.write(2, ("def save_state", "def other"))
        plugin.reload()  # the old one has it, and the new one the other: it is handed over
        author.write(3)
        plugin.reload()
        bus.publish("reload.n", 2)
        assert out.get() == [3, 3, 2, 1]
    else:
        author.write(2, ("def restore_state", "def other"))
        plugin.reload()
        bus.publish("reload.n", 2)
        assert out.get() == [2, 2, 2, 1]


@pytest.mark.parametrize("state", [PluginState.LOADED, PluginState.INITIALIZED, PluginState.ACTIVE])
def test_the_new_version_is_as_far_as_the_old_one_was(author, state):
    with qtforge.load(author.folder) as plugin:
        if state >= PluginState.INITIALIZED:
            plugin.initialize()
        if state is PluginState.ACTIVE:
            plugin.activate()
        author.write(2)
        plugin.reload()
        assert plugin.state is state
        assert plugin.object.version_of_it() == 2
        if state is PluginState.LOADED:
            plugin.initialize()
        plugin.cleanup()


def test_a_plugin_in_error_is_brought_to_where_it_was_wanted(bus, inbox, author):
    out = inbox("reload.out")
    author.write(1, ("self.count = 0", "raise ValueError('later')"))
    with qtforge.load(author.folder) as plugin:
        with pytest.raises(qtforge.PluginError):
            plugin.initialize()
        author.write(2)
        plugin.reload()
        assert plugin.state is PluginState.INITIALIZED
        bus.publish("reload.n", 1)
        assert out.get() == [2, 2, 1, 1]


def test_reload_from_its_own_handler_is_refused_and_from_another_plugins_is_not(bus, inbox, author, plugin, plugin_folder):
    other = """
        import qtforge
        from qtforge.core import IPlugin

        class Sample(IPlugin):
            def initialize(self):
                qtforge.MessageBus.instance().subscribe("reload.ask", self.on_ask)

            def on_ask(self, _):
                self.reloaded.reload()
                qtforge.MessageBus.instance().publish("reload.asked", self.reloaded.object.version_of_it())
    """
    errors, asked = [], inbox("reload.asked")
    plugin.object.reload_it = plugin.reload
    author.write(2, ("self.count += 1", "self.count += 1; self.reload_it(n)"))
    plugin.reload()

    def reload_it(_):
        try:
            plugin.reload()
        except qtforge.Error as error:
            errors.append(error.code)

    plugin.object.reload_it = reload_it
    bus.publish("reload.n", 1)
    bus.drain(LIMIT)
    assert errors == [ErrorCode.WOULD_DEADLOCK]
    with qtforge.load(plugin_folder("other", other)) as neighbour:
        neighbour.initialize()
        neighbour.object.reloaded = plugin
        author.write(3)
        bus.publish("reload.ask", None)
        assert asked.get() == 3


def test_subscriptions_that_only_one_version_has_come_and_go(bus, inbox, author, plugin):
    out = inbox("reload.out")
    author.write(2, ('"reload.n"', '"reload.other"'))
    plugin.reload()
    assert bus.publish("reload.n", 1) == 0
    assert bus.publish("reload.other", 2) == 1
    assert out.get() == [2, 2, 2, 1]
    author.write(3, ("self.on_number)", "self.on_number, capacity=5)"))
    plugin.reload()
    assert bus.publish("reload.other", 1) == 0
    assert bus.publish("reload.n", 2) == 1
    assert out.get() == [3, 3, 2, 2]
    plugin.cleanup()
    assert bus.publish("reload.n", 1) == 0


def test_what_is_queued_for_a_subscription_that_goes_is_handled_by_the_old_version(bus, inbox, author, plugin):
    out = inbox("reload.out")
    for n in range(500):
        bus.publish("reload.n", n)
    author.write(2, ('"reload.n"', '"reload.other"'))
    plugin.reload()
    assert out.take(500) == [[1, 1, n, n + 1] for n in range(500)]


def test_handlers_of_one_pattern_keep_what_is_queued_for_them(bus, inbox, author):
    two = [("self.on_number)", 'self.on_number); self.bus.subscribe("reload.n", self.other)'),
           ("def save_state", "def other(self, n): self.bus.publish('reload.other', [VERSION, n])\n    def save_state")]
    turned = [("self.bus.subscribe(\"reload.n\", self.on_number)",
               'self.bus.subscribe("reload.n", self.other); self.bus.subscribe("reload.n", self.on_number)'), two[1]]
    out, other = inbox("reload.out"), inbox("reload.other")
    author.write(1, *two)
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        for version in range(2, 12):
            for n in range(50):
                bus.publish("reload.n", n)
            author.write(version, *(turned if version % 2 else two))
            plugin.reload()
        bus.drain(LIMIT)
        assert [n for _, _, n, _ in out.take(500)] == [*range(50)] * 10
        assert [n for _, n in other.take(500)] == [*range(50)] * 10
        assert out.empty() and other.empty()


def test_a_responder_answers_beside_reloads(bus, author):
    responds = ("self.on_number)", 'self.on_number); self.bus.respond("reload.ask", lambda n: [VERSION, n])')
    author.write(1, responds)
    answers, stop = [], threading.Event()

    def ask():
        while not stop.is_set():
            answers.append(bus.request("reload.ask", len(answers), timeout=LIMIT))

    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        thread = threading.Thread(target=ask)
        thread.start()
        for version in range(2, 12):
            author.write(version, responds)
            plugin.reload()
        stop.set()
        thread.join(LIMIT)
    assert [n for _, n in answers] == list(range(len(answers)))
    assert len({version for version, _ in answers}) > 3


def test_calls_meanwhile_go_to_one_of_the_versions(author, plugin):
    found, seen, errors, stop = qtforge.find("reloaded"), [], [], threading.Event()

    def call():
        while not stop.is_set():
            try:
                seen.append(found.version_of_it())
            except qtforge.Error as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(2, 22):
        author.write(version)
        plugin.reload()
    stop.set()
    for thread in threads:
        thread.join(LIMIT)
    assert errors == []
    assert len(set(seen)) > 5


@pytest.mark.parametrize("mark", ["", "@qtforge.on_lane\n    "])
def test_a_method_that_is_kept_is_that_of_the_version_that_runs(author, mark):
    marked = ("def version_of_it(self):", f"{mark}def version_of_it(self):")
    author.write(1, marked)
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        kept = qtforge.find("reloaded").version_of_it
        old = weakref.ref(sys.modules[plugin.object.__module__])
        author.write(2, ("def version_of_it(self):", "@qtforge.on_lane\n    def version_of_it(self, *, more=0):"))
        plugin.reload()
        assert kept(more=1) == 2
        gc.collect()
        assert old() is None
        author.write(3, ("version_of_it", "another_name"))
        plugin.reload()
        with pytest.raises(AttributeError):
            kept()


def test_an_optional_need_in_a_circle_is_none(author, plugin, plugin_folder):
    user = plugin_folder("user", SOURCE.replace("import helper", ""), dependencies=["reloaded"])
    with qtforge.load(user):
        author.manifest(dependencies=[{"name": "user", "optional": True}])
        plugin.reload()
        plugin.reload()


def test_a_call_in_the_old_version_ends_before_its_state_is_saved(author):
    slow = ("def version_of_it(self):", "def version_of_it(self):\n        inside.set(); go.wait(30); self.count = 77")
    author.write(1, slow, ("VERSION = 1", "VERSION = 1; inside, go = threading.Event(), threading.Event()"))
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        module = sys.modules["qtforge_plugins.reloaded.main"]
        answers = []
        caller = threading.Thread(target=lambda: answers.append(qtforge.find("reloaded").version_of_it()))
        caller.start()
        assert module.inside.wait(LIMIT)
        author.write(2)
        reload = threading.Thread(target=plugin.reload)
        reload.start()
        reload.join(0.2)
        assert reload.is_alive()
        module.go.set()
        reload.join(LIMIT)
        caller.join(LIMIT)
        assert answers == [1]
        assert plugin.object.count == 77


def test_direct_handlers_and_filters_lose_nothing(bus, author, publishing):
    direct = ("self.on_number)", 'self.on_number, delivery="direct", filter=lambda n: n % 2 == 0)')
    author.write(1, direct)
    out = []
    with qtforge.load(author.folder) as plugin, bus.subscribe("reload.out", out.append):
        plugin.initialize()
        end = publishing()
        for version in range(2, 22):
            author.write(version, direct)
            plugin.reload()
        count = end()
        bus.drain(LIMIT)
        assert [n for _, _, n, _ in out] == list(range(0, count, 2))
        assert [seen for _, _, _, seen in out] == list(range(1, len(out) + 1))


def test_services_go_to_the_new_version(author):
    offers = ("self.count = 0", "self.count = 0; self.offer('reload shelf', Shelf())")
    shelf = ("class Sample", "class Shelf:\n    def get(self): return VERSION\n\nclass Sample")
    author.write(1, offers, shelf)
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        found = qtforge.find("reload shelf")
        for version in range(2, 5):
            author.write(version, offers, shelf)
            plugin.reload()
            assert found.get() == version
        author.write(5)
        plugin.reload()
        with pytest.raises(qtforge.PluginError):
            found.get()
        author.write(6, offers, shelf)
        plugin.reload()
        assert qtforge.find("reload shelf").get() == 6
        plugin.cleanup()
        with pytest.raises(qtforge.PluginError):
            qtforge.find("reload shelf")


def test_variables_of_the_process_are_those_of_the_version_that_runs(author):
    name = "QTFORGE_TEST_RELOAD_VALUE"
    author.manifest(python_config={"environment_variables": {name: "one"}})
    with qtforge.load(author.folder) as plugin:
        assert os.environ[name] == "one"
        author.manifest(python_config={"environment_variables": {name: "two"}})
        plugin.reload()
        assert os.environ[name] == "two"
        author.manifest(python_config={"environment_variables": {name: "three"}})
        author.write(2, ("VERSION = 2", "VERSION = 1 / 0"))
        with pytest.raises(qtforge.PluginError):
            plugin.reload()
        assert os.environ[name] == "two"
    assert name not in os.environ


def test_settings_stay_as_far_as_they_fit(author):
    author.manifest(configuration={"speed": {"type": "integer", "default": 1}, "old": {"type": "string"}})
    author.write(1)
    with qtforge.load(author.folder) as plugin:
        plugin.configure({"speed": 5, "old": "x"})
        plugin.reload()
        assert plugin.object.config == {"speed": 5, "old": "x"}
        author.manifest(configuration={"speed": {"type": "integer", "default": 1}, "new": {"type": "boolean", "default": True}})
        plugin.reload()
        assert plugin.object.config == plugin.configuration == {"speed": 5, "new": True}
        author.manifest(configuration={"speed": {"type": "integer", "maximum": 3}})
        with pytest.raises(qtforge.ConfigurationError, match="/speed: expected at most 3, got 5"):
            plugin.reload()
        assert plugin.configuration == {"speed": 5, "new": True}
        plugin.configure({"speed": 2})
        plugin.reload()
        assert plugin.configuration == {"speed": 2}


def test_what_the_old_version_started_ends(bus, inbox, author):
    starts = ("self.on_number)", "self.on_number); self.every(0.001, self.tick); self.run_in_thread(self.run)")
    methods = """def tick(self):
        self.bus.publish("reload.tick", VERSION)

    def run(self):
        self.bus.subscribe("reload.thread", lambda n: self.bus.publish("reload.thread.out", VERSION))
        self.stopping.wait()
        self.bus.publish("reload.ended", VERSION)

    def save_state"""
    code = ("def save_state", methods)
    ticks, ended, answered = inbox("reload.tick"), inbox("reload.ended"), inbox("reload.thread.out")
    author.write(1, starts, code)
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        while ticks.get() != 1:
            pass
        author.write(2, starts, code)
        plugin.reload()
        assert ended.get() == 1
        bus.drain(LIMIT)
        while not ticks.empty():
            ticks.get()
        assert ticks.take(3) == [2, 2, 2]
        limit = time.monotonic() + LIMIT
        while bus.publish("reload.thread", 1) == 0 and time.monotonic() < limit:
            pass
        assert answered.get() == 2


def test_dependencies_are_looked_at_as_for_a_load(author, plugin, plugin_folder):
    author.manifest(dependencies=["nobody >= 1.0.0"])
    with pytest.raises(qtforge.PluginError) as raised:
        plugin.reload()
    assert raised.value.code is ErrorCode.DEPENDENCY_MISSING
    user = plugin_folder("user", SOURCE.replace("import helper", ""), dependencies=["reloaded >= 1.0.0"])
    with qtforge.load(user):
        author.manifest(dependencies=[], version="0.9.0")
        with pytest.raises(qtforge.PluginError, match="'user' needs 'reloaded >= 1.0.0'") as raised:
            plugin.reload()
        assert raised.value.code is ErrorCode.DEPENDENCY_VERSION
        author.manifest(dependencies=["user"], version="1.5.0")
        with pytest.raises(qtforge.PluginError) as raised:
            plugin.reload()
        assert raised.value.code is ErrorCode.DEPENDENCY_CYCLE
        author.manifest(dependencies=[])
        plugin.reload()
        with pytest.raises(qtforge.PluginError, match="is needed by 'user'"):
            plugin.unload()


@pytest.mark.parametrize("change", [{"name": "renamed"}, {"lane": "own"}, {"language": "cpp"}, {"version": "none"}])
def test_a_manifest_that_cannot_be_is_an_error(author, plugin, change):
    author.manifest(**change)
    with pytest.raises(qtforge.Error, match="plugin.json"):
        plugin.reload()
    assert plugin.object.version_of_it() == 1


def test_the_store_is_one_for_both_versions(author, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    stores = ("self.count = 0", "self.count = 0; self.store[str(VERSION)] = 1")
    cleans = ("def cleanup(self):", "def cleanup(self):\n        self.store['cleaned'] = VERSION")
    author.write(1, stores, cleans)
    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        author.write(2, stores, cleans)
        plugin.reload()
        assert plugin.object.store == {"1": 1, "2": 1, "cleaned": 1}


def test_reloads_that_are_asked_for_at_once_are_few(author, inbox, plugin):
    told = inbox("qtforge.reload")
    author.write(2)
    threads = [threading.Thread(target=plugin.reload) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT)
    qtforge.MessageBus.instance().drain(LIMIT)
    count = 0
    while not told.empty():
        assert told.get()["ok"]
        count += 1
    assert 1 <= count <= 8
    assert plugin.object.version_of_it() == 2


def test_a_step_or_unload_meanwhile_waits_for_the_end_of_the_reload(author):
    waits = ("self.count = 0", "self.count = 0\n        inside.set(); go.wait(30)")
    events = ("VERSION = 2", "VERSION = 2; from qtforge_test_reload import inside, go")
    import types

    shared = sys.modules["qtforge_test_reload"] = types.ModuleType("qtforge_test_reload")
    shared.inside, shared.go = threading.Event(), threading.Event()
    try:
        plugin = qtforge.load(author.folder)
        plugin.initialize()
        author.write(2, waits, events)
        reload = threading.Thread(target=plugin.reload)
        reload.start()
        assert shared.inside.wait(LIMIT)
        unload = threading.Thread(target=plugin.unload)
        unload.start()
        unload.join(0.1)
        assert unload.is_alive()
        shared.go.set()
        reload.join(LIMIT)
        unload.join(LIMIT)
        assert plugin.state is PluginState.UNLOADED
    finally:
        del sys.modules["qtforge_test_reload"]


def test_a_plugin_in_cpp_says_that_it_cannot():
    path = os.path.join(os.environ["QTFORGE_BUILD_ROOT"], "test/plugins/native_minimal/libminimal.so")
    with qtforge.load(path) as plugin:
        with pytest.raises(qtforge.PluginError, match='language "cpp" cannot be reloaded') as raised:
            plugin.reload()
        assert raised.value.code is ErrorCode.ILLEGAL_TRANSITION
        assert plugin.state is PluginState.LOADED


def test_what_holds_on_to_the_old_version_is_named(author, inbox, plugin):
    events = inbox("qtforge.plugins")
    held = plugin.object
    author.write(2)
    plugin.reload()
    plugin.reload()  # the report comes behind what was posted to the lane before
    while (event := events.get())["event"] != "kept":
        pass
    assert "'reloaded' is reloaded, and not all of the old version is gone: its object of class Sample" in event["message"]
    assert held.version_of_it() == 1


def test_200_reloads_leave_nothing_behind(author, inbox):
    kept = inbox("qtforge.plugins")

    def sizes():
        gc.collect()
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        return len(gc.get_objects()), pages * os.sysconf("SC_PAGE_SIZE")

    with qtforge.load(author.folder) as plugin:
        plugin.initialize()
        plugin.activate()
        for round in range(220):
            author.write(round % 10)
            plugin.reload()
            if round == 19:
                objects, memory = sizes()
        after, later = sizes()
    assert after - objects < 300
    assert later - memory < 4 * 1024 * 1024
    while not kept.empty():
        assert kept.get()["event"] != "kept"
