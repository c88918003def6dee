"""A guest in somebody else's Python: import, fork, other processes, and every way to end."""

from __future__ import annotations

import pytest


def test_import_changes_nothing_global(program):
    program("""
        import asyncio, faulthandler, gc, io, locale, logging, os, resource, signal, sys, threading, time, warnings

        def snapshot():
            return {
                "signals": {s: signal.getsignal(s) for s in signal.valid_signals()},
                "masks": signal.pthread_sigmask(signal.SIG_BLOCK, []),
                "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, sys.breakpointhook, sys.gettrace(),
                          sys.getprofile(), threading.excepthook, sys.get_asyncgen_hooks()),
                "streams": (sys.stdin, sys.stdout, sys.stderr, sys.__stdout__),
                "switch": sys.getswitchinterval(),
                "recursion": sys.getrecursionlimit(),
                "path": (list(sys.path), list(sys.meta_path), list(sys.path_hooks)),
                "asyncio": (asyncio.new_event_loop, asyncio.AbstractEventLoop, asyncio.events.get_event_loop),
                "warnings": list(warnings.filters),
                "logging": (logging.root.level, list(logging.root.handlers), logging.getLoggerClass()),
                "environ": dict(os.environ),
                "cwd": os.getcwd(),
                "locale": locale.setlocale(locale.LC_ALL),
                "gc": (gc.isenabled(), gc.get_threshold(), gc.callbacks[:]),
                "faulthandler": faulthandler.is_enabled(),
                "limits": [resource.getrlimit(r) for r in (resource.RLIMIT_AS, resource.RLIMIT_NOFILE)],
                "threads": threading.enumerate(),
                "builtins": dict(vars(__builtins__)),
                "import": __builtins__.__import__,
            }

        before = snapshot()
        ours = open("/proc/self/status").read()
        import qtforge
        after = snapshot()
        changed = [key for key in before if before[key] != after[key]]
        assert not changed, [(before[key], after[key]) for key in changed]
        fields = ("SigBlk", "SigIgn", "SigCgt")
        now = open("/proc/self/status").read()
        pick = lambda text: [line for line in text.splitlines() if line.startswith(fields)]
        assert pick(ours) == pick(now), (pick(ours), pick(now))
    """)


def test_import_writes_nothing_and_ends_at_once(program):
    ran = program("import qtforge")
    assert (ran.stdout, ran.stderr) == ("", "")


def test_import_twice_gives_the_same_types(program):
    program("""
        import sys
        import qtforge
        first = qtforge.MessageBus.instance(), qtforge.Message
        for name in [name for name in sys.modules if name.split(".")[0] == "qtforge"]:
            del sys.modules[name]
        import qtforge as again
        assert again is not qtforge
        assert (again.MessageBus.instance(), again.Message) == first
        assert again.MessageBus.instance().publish("a", 1) == 0
    """)


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(0)", "sys.exit()", "os._exit(0)"])
def test_the_interpreter_ends_with_a_handler_running_and_threads_publishing(program, end):
    program(f"""
        import os, sys, threading, time
        import qtforge
        bus = qtforge.MessageBus.instance()
        entered = threading.Event()

        def handler(payload):
            entered.set()
            time.sleep(0.2)

        bus.subscribe("end.busy", handler, policy="drop_oldest", capacity=10)
        bus.subscribe("end.>", lambda payload: None, envelope=True, policy="drop_oldest", capacity=10)

        def publish():
            while True:
                try:
                    bus.publish("end.busy", {{"data": b"x" * 100, "n": [1, 2, 3]}})
                except qtforge.BusError:
                    return

        for _ in range(3):
            threading.Thread(target=publish, daemon=True).start()
        assert entered.wait(20)
        {end}
    """)


def test_the_interpreter_ends_though_a_handler_never_returns(program):
    ran = program("""
        import threading
        import qtforge
        entered = threading.Event()

        def stuck(payload):
            entered.set()
            threading.Event().wait()

        bus = qtforge.MessageBus.instance()
        bus.subscribe("end.stuck", stuck)
        bus.publish("end.stuck", 1)
        assert entered.wait(20)
        print("last words")
    """)
    assert ran.stdout == "last words\n"


def test_an_exception_out_of_the_program_keeps_its_exit_code(program):
    ran = program(
        """
        import qtforge
        qtforge.MessageBus.instance().subscribe("end.>", print)
        raise KeyError("mine")
        """,
        code=1,
    )
    assert "KeyError: 'mine'" in ran.stderr


def test_what_comes_after_the_end_gets_an_error_and_no_crash(program):
    ran = program("""
        import atexit

        def late():
            import qtforge
            bus = qtforge.MessageBus.instance()
            for call in (lambda: bus.publish("late", 1), lambda: bus.subscribe("late", print), bus.stats,
                         lambda: bus.drain(0.1), lambda: subscription.active, subscription.unsubscribe,
                         lambda: bus.unsubscribe_all(bus), lambda: qtforge.load("nowhere"),
                         lambda: qtforge.logger.info("late"), lambda: qtforge.IPlugin().state()):
                try:
                    call()
                except qtforge.Error:
                    pass
            print("late is fine")

        atexit.register(late)  # runs after the package's own, which is registered later
        import qtforge

        class Held:
            def __del__(self):
                try:
                    bus.publish("held", 1)
                except (qtforge.Error, TypeError, AttributeError, NameError):
                    pass

            def __call__(self, payload):
                pass

        bus = qtforge.MessageBus.instance()
        subscription = bus.subscribe("held", Held())
        keep = Held()
    """)
    assert "late is fine" in ran.stdout


def test_handlers_run_until_drained_before_the_end(program):
    ran = program("""
        import qtforge
        bus = qtforge.MessageBus.instance()
        bus.subscribe("end.print", print)
        for n in range(100):
            bus.publish("end.print", n)
        bus.drain()
    """)
    assert ran.stdout.split() == [str(n) for n in range(100)]


FORK = """
    import os, sys, warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: threads and fork
    import qtforge
    bus = qtforge.MessageBus.instance()
    got = []
    subscription = bus.subscribe("fork", got.append)
    child = os.fork()
    if child == 0:
        calls = {
            "publish": lambda: bus.publish("fork", 1),
            "subscribe": lambda: bus.subscribe("fork", print),
            "unsubscribe": subscription.unsubscribe,
            "active": lambda: subscription.active,
            "stats": subscription.stats,
            "unsubscribe_all": lambda: bus.unsubscribe_all(bus),
            "drain": bus.drain,
            "busStats": bus.stats,
            "load": lambda: qtforge.load("nowhere"),
            "state": lambda: qtforge.IPlugin().state(),
            "debug": lambda: qtforge.set_debug_mode(True),
        }
        for name, call in calls.items():
            try:
                call()
            except qtforge.BusError as error:
                assert "fork" in str(error) and "spawn" in str(error), error
                assert error.code is qtforge.ErrorCode.NO_RUNTIME
            else:
                print("no error from", name, flush=True)
                os._exit(3)
        qtforge.logger.info("child can log")
        %s
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, status
    bus.publish("fork", "parent lives")
    bus.drain()
    assert got == ["parent lives"]
"""


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
def test_in_a_forked_child_calls_raise_and_both_end_well(program, end):
    ran = program(FORK % end)
    assert "child can log" in ran.stderr


def test_a_child_of_fork_and_exec_has_a_bus_of_its_own(program):
    program("""
        import subprocess, sys
        import qtforge
        code = "import qtforge; b = qtforge.MessageBus.instance(); b.subscribe('x', print); b.publish('x', 5); b.drain()"
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=True,
                             preexec_fn=lambda: None)
        assert out.stdout == "5\\n", out
        assert qtforge.MessageBus.instance().publish("x", 1) == 0
    """)


def test_workers_of_multiprocessing_spawn_have_a_bus_of_their_own(program):
    program("""
        import multiprocessing
        import qtforge

        def work(n):
            import qtforge
            bus, got = qtforge.MessageBus.instance(), []
            with bus.subscribe("work", got.append):
                bus.publish("work", n)
                bus.drain()
            return got

        if __name__ == "__main__":
            qtforge.MessageBus.instance().subscribe("work", print)
            with multiprocessing.get_context("spawn").Pool(2) as pool:
                assert pool.map(work, [1, 2, 3]) == [[1], [2], [3]]
    """)


def test_control_c_ends_a_program(program):
    ran = program(
        """
        import os, signal, time
        import qtforge
        bus = qtforge.MessageBus.instance()
        bus.subscribe("tick", lambda payload: os.kill(os.getpid(), signal.SIGINT))
        try:
            bus.publish("tick", 1)
            for _ in range(400):
                time.sleep(0.05)
        except KeyboardInterrupt:
            print("interrupted")
        """
    )
    assert ran.stdout == "interrupted\n"
