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
    class Costly:
        def __str__(self):
            raise AssertionError("formatted")

    qtforge.logger.debug("%s", Costly())
    qtforge.logger.debug(Costly())


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
