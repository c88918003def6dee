"""Where log and print go, with which names, and what debug mode shows."""

from __future__ import annotations

import qtforge


def test_log_goes_to_stderr_and_print_to_stdout(program):
    ran = program("""
        import qtforge
        print("printed")
        qtforge.logger.info("told")
        qtforge.logger.warning("careful")
        qtforge.logger.error("wrong")
    """)
    assert ran.stdout == "printed\n"
    assert [word in ran.stderr for word in ("told", "careful", "wrong")] == [True] * 3
    assert "printed" not in ran.stderr


def test_debug_messages_show_in_debug_mode_only(program):
    ran = program("""
        import qtforge
        qtforge.logger.debug("first")
        qtforge.set_debug_mode(True)
        qtforge.set_debug_mode(True)
        qtforge.logger.debug("second")
        qtforge.set_debug_mode(False)
        qtforge.set_debug_mode(False)
        qtforge.logger.debug("third")
        qtforge.logger.info("fourth")
    """)
    assert [word in ran.stderr for word in ("first", "second", "third", "fourth")] == [False, True, False, True]


def test_a_level_of_the_application_survives_debug_mode(program):
    ran = program("""
        import qtforge
        qtforge._qtforge.set_log_level(4)
        qtforge.set_debug_mode(True)
        qtforge.set_debug_mode(False)
        print(qtforge._qtforge.log_level())
        qtforge._qtforge.set_log_level(0)
        qtforge.set_debug_mode(True)
        print(qtforge._qtforge.log_level())
    """)
    assert ran.stdout.split() == ["4", "0"]


def test_messages_take_percent_arguments(program):
    ran = program("""
        from qtforge import logger
        logger.info("%d of %s", 3, "four")
        logger.info("%(a)s and %(b)s", {"a": 1, "b": 2})
        logger.info("100 %")
        logger.info({"not": "text"})
        logger.info("needs %s %s", "more")
        logger.info("ünï\\ncödé")
    """)
    for text in ("3 of four", "1 and 2", "100 %", "{'not': 'text'}", "needs %s %s ('more',)", "ünï"):
        assert text in ran.stderr


def test_what_nobody_reads_is_not_formatted():
    formatted = []

    class Costly:
        def __str__(self):
            formatted.append(self)
            return "costly"

    qtforge.logger.debug("%s", Costly())
    qtforge.logger.debug(Costly())
    assert not formatted


def test_arguments_that_raise_do_not_end_who_logs(program):
    ran = program("""
        from qtforge import logger
        class Bad:
            def __str__(self): raise RuntimeError("bad")
            __repr__ = __str__
        logger.info("first %s", Bad())
        logger.info(Bad())
        logger.info("%d", "no number")
        logger.info("a name \\udc80 of a file")
        print("goes on")
    """)
    assert ran.stdout == "goes on\n"
    assert "first %s" in ran.stderr
    assert "RuntimeError: bad" in ran.stderr
    assert "('no number',)" in ran.stderr
    assert "a name \\udc80 of a file" in ran.stderr


def test_exception_adds_the_traceback(program):
    ran = program("""
        import qtforge
        try:
            {}["missing"]
        except KeyError:
            qtforge.logger.exception("looking %s", "up")
    """)
    assert "looking up" in ran.stderr
    assert "KeyError: 'missing'" in ran.stderr


def test_the_host_is_told_level_module_text_file_and_line(hosted):
    hosted("""
        from hosted import host
        calls = host()
        import qtforge
        qtforge.logger.warning("here %d", 1)
        assert calls["log"] == [(3, "__main__", "here 1", __file__, 5)], calls["log"]
    """)


def test_logging_from_many_threads_keeps_lines_whole(program):
    ran = program("""
        import threading
        from qtforge import logger
        def work(i):
            for n in range(200):
                logger.info("line-%d-%d-end", i, n)
        threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
    """)
    lines = ran.stderr.splitlines()
    assert len(lines) == 800
    assert all("line-" in line and line.rstrip().find("-end") > 0 for line in lines)


def test_the_log_can_be_seen_from_python(program):
    program("""
        import logging, queue, sys, threading
        import qtforge
        from qtforge import logger
        seen = queue.Queue()
        with logger.subscribe(seen.put, "warning") as subscription:
            logger.info("below")
            logger.warning("here %d", 1)
            record = seen.get(timeout=20)
            assert record[:3] == (logging.WARNING, "__main__", "here 1"), record
            assert (record.file, record.line) == (__file__, 8), record
            assert abs(record.time - __import__("time").time()) < 100
        logger.warning("unseen")
        assert not subscription.unsubscribe()
        bus = qtforge.MessageBus.instance()
        with logger.subscribe(seen.put):
            bus.subscribe("fails", lambda message: {}["key"])
            bus.publish("fails", None)
            record = seen.get(timeout=20)
            assert (record.level, record.logger) == (logging.ERROR, "qtforge.bus")
            assert "KeyError: 'key'" in record.message
        assert seen.empty()
        for wrong, error in ((1, TypeError), (None, TypeError)):
            try:
                logger.subscribe(wrong)
            except error:
                continue
            raise AssertionError(wrong)
        try:
            logger.subscribe(print, "loud")
        except ValueError as error:
            assert "loud" in str(error)
        else:
            raise AssertionError("a level of that name")
        async def later(record): pass
        try:
            logger.subscribe(later)
        except TypeError:
            pass
        else:
            raise AssertionError("a coroutine function")
    """)


def test_who_sees_the_log_and_is_slow_is_told_what_it_missed(program):
    ran = program("""
        import threading
        from qtforge import logger
        gate, entered, last, shown = threading.Event(), threading.Event(), threading.Event(), []
        def see(record):
            entered.set()
            gate.wait(20)
            shown.append(record.message)
            if "were not shown" in record.message:
                last.set()
        with logger.subscribe(see):
            logger.info("first")
            assert entered.wait(20)
            for n in range(10_003):
                logger.info("line %d", n)
            gate.set()
            assert last.wait(20)
        print(len(shown), shown[-1].split(":")[0])
    """)
    assert ran.stdout == "10002 3 lines of the log were not shown here\n"


def test_a_handler_leads_the_standard_logging_to_the_log(program):
    ran = program("""
        import logging
        from qtforge import logger
        root = logging.getLogger()
        root.addHandler(logger.Handler())
        root.setLevel(1)
        logging.basicConfig(level=logging.ERROR)  # does nothing where there is a handler
        logging.info("told %s", "once")
        logging.getLogger("part.of").critical("much")
        logging.warning("%d is none", "this")
        logging.warning("%(a)d of a dict", {"a": 3})
        logging.debug("below the log's level")
        try:
            {}["key"]
        except KeyError:
            logging.exception("raised")
        logging.warning("where", stack_info=True)
        root.handlers[0].setFormatter(logging.Formatter("<%(message)s>"))
        logging.warning("formatted")
    """)
    lines = ran.stderr.splitlines()
    assert [line.split(" ", 1)[1] for line in lines[:3]] == [
        "INFO root: told once",
        "ERROR part.of: much",
        "WARNING root: %d is none ('this',) (TypeError: %d format: a real number is required, not str)",
    ]
    assert "WARNING root: 3 of a dict" in lines[3]
    for part in ("KeyError: 'key'", "Stack (most recent call last)", "root: <formatted>"):
        assert part in ran.stderr
    assert "below" not in ran.stderr
    assert ran.stderr.count("once") == 1


def test_a_handlers_lines_name_plugin_file_and_line(program, plugin_folder):
    folder = plugin_folder(
        "speaker",
        """
        import logging
        from qtforge import IPlugin
        class Sample(IPlugin):
            def initialize(self):
                logging.getLogger(__name__).warning("by module")  # line 6
                logging.getLogger("library").warning("of a library")
        """,
    )
    program(f"""
        import logging, queue
        import qtforge
        logging.getLogger().addHandler(qtforge.logger.Handler())
        seen = queue.Queue()
        with qtforge.logger.subscribe(seen.put):
            qtforge.load({str(folder)!r}).initialize()
            first, second = seen.get(timeout=20), seen.get(timeout=20)
        assert (first.logger, first.message, first.line) == ("speaker", "by module", 6), first
        assert first.file.endswith("speaker/main.py")
        assert (second.logger, second.message) == ("speaker", "library: of a library"), second
    """)


def test_log_and_logging_in_a_circle_tell_each_line_once(program):
    ran = program("""
        import logging, threading
        from qtforge import logger
        done, forwarded = threading.Event(), []
        class Keep(logging.Handler):
            def emit(self, record):
                forwarded.append((record.name, record.getMessage(), record.lineno))
                if "last" in record.getMessage(): done.set()
        logging.basicConfig(level=1, handlers=[Keep(), logger.Handler()])
        logger.subscribe(logger.to_logging)
        logger.info("from the log")  # line 11
        logging.info("from logging")
        logger.info("last")
        assert done.wait(20)
        print(forwarded)
    """)
    assert [ran.stderr.count(text) for text in ("from the log", "from logging", "last")] == [1, 1, 1]
    assert "('qtforge.__main__', 'from the log', 11)" in ran.stdout
    assert [ran.stdout.count(text) for text in ("from the log", "from logging", "last")] == [1, 1, 1]


def test_debug_mode_times_handlers_and_hooks_and_turns_asyncios_on(program, plugin_folder):
    folder = plugin_folder("timed", "from qtforge import IPlugin\nclass Sample(IPlugin): pass\n")
    ran = program(f"""
        import asyncio
        import qtforge
        bus = qtforge.MessageBus.instance()
        bus.subscribe("timed.>", lambda message: None)
        bus.publish("timed.off", 1)
        bus.drain()
        before, plain = asyncio.base_events.BaseEventLoop.__init__, asyncio.new_event_loop()
        qtforge.set_debug_mode(True)
        bus.publish("timed.on", 1)
        bus.drain()
        plugin = qtforge.load({str(folder)!r})
        plugin.initialize()
        loop, own = asyncio.new_event_loop(), asyncio.new_event_loop()
        assert loop.get_debug() and not plain.get_debug()
        own.close()
        qtforge.set_debug_mode(False)
        assert not loop.get_debug() and asyncio.base_events.BaseEventLoop.__init__ is before
        bus.publish("timed.again", 1)
        bus.drain()
        loop.close()
        plain.close()
    """)
    times = [line for line in ran.stderr.splitlines() if " took " in line]
    assert any("handler took" in line and 'on "timed.on"' in line and line.endswith('"') for line in times), ran.stderr
    assert any("DEBUG qtforge.plugins: plugin 'timed': initialize took " in line for line in times), ran.stderr
    assert not any("timed.off" in line or "timed.again" in line for line in times)


def test_a_guests_warnings_hooks_and_root_logger_stay_its_own_when_plugins_are_loaded(program, plugin_folder):
    folder = plugin_folder("guest", "from qtforge import IPlugin\nclass Sample(IPlugin): pass\n")
    program(f"""
        import logging, sys, threading, warnings
        state = lambda: (warnings.showwarning, sys.unraisablehook, threading.excepthook, list(logging.root.handlers),
                         logging.root.level, sys.stdout, sys.stderr)
        before = state()
        import qtforge
        plugin = qtforge.load({str(folder)!r})
        plugin.initialize()
        qtforge.set_debug_mode(True)
        qtforge.set_debug_mode(False)
        plugin.unload()
        assert state() == before
    """)
