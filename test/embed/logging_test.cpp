// What Python code logs, warns of, prints and fails with where nobody can be given it; the log seen from Python; debug mode.

#include "log_box.hpp"

#include <qtforge/python/python_integration.hpp>

#include <set>

using namespace qtforge;
using qtforge::python::OutputLine;
using qtforge::python::PythonExecutor;
using qtforge::python::PythonIntegration;
using test::contains;
using test::LogBox;

namespace logging_test {

const char* const lines = R"(
import asyncio, gc, logging, sys, threading, warnings
from qtforge import IPlugin, logger, subscribe

library = logging.getLogger("library.part")

def deprecated():
    warnings.warn("use the other", UserWarning, stacklevel=2)

class Dying:
    def __del__(self):
        raise RuntimeError("while it dies")

def run_wild():
    raise LookupError("in a thread")

class Sample(IPlugin):
    @subscribe("lines.>", envelope=True)
    def on_message(self, message):
        getattr(self, "do_" + message.topic.split(".")[1])()

    def do_warn(self):
        deprecated()  # line 23

    def do_die(self):
        Dying()

    def do_thread(self):
        thread = threading.Thread(target=run_wild, name="wild")
        thread.start()
        thread.join()
        quiet = threading.Thread(target=sys.exit)
        quiet.start()
        quiet.join()

    async def work(self):
        pass

    def do_forget(self):
        self.work()  # line 40
        gc.collect()

    def do_log(self):
        logging.getLogger(__name__).warning("by module %d", 1)  # line 44
        logging.error("at the root")
        library.critical("of a library")
        library.warning("%d is no number", "this")
        library.info("and the handler lives")
        try:
            {}["key"]
        except KeyError:
            logging.exception("with a traceback")

    def do_print(self):
        print("one", end="")
        print("-", 2)
        sys.stderr.write("to stderr\nbegun")
        print("gr\u00fc\u00df\ntwo lines")

    def do_tell(self):
        logger.info("told")

    def do_nothing(self):
        pass
)";

/// One plugin, and a word to it.
struct Lines {
  Lines() { test::start(manager, test::pythonPlugin(folder, "lines", lines)); }

  void say(const std::string& what) {
    MessageBus::instance().publish("lines." + what, nullptr);
    BOOST_REQUIRE(MessageBus::instance().drain().has_value());
  }

  test::Folder folder;
  test::PythonManager manager;
};

/// Level and debug mode as they were.
struct Level {
  ~Level() {
    setDebugMode(false);
    setLogLevel(before);
  }
  const LogLevel before = logLevel();
};

}  // namespace logging_test

using namespace logging_test;

BOOST_AUTO_TEST_SUITE(logging)

BOOST_FIXTURE_TEST_CASE(warnings_go_to_the_log_with_plugin_file_and_line, Lines) {
  LogBox log;
  say("warn");
  const auto logged = log.await("UserWarning: use the other");
  BOOST_TEST((logged.level == LogLevel::Warning));
  BOOST_TEST(logged.logger == "lines");
  BOOST_TEST(logged.file.ends_with("lines/main.py"));
  BOOST_TEST(logged.line == 23u);
}

BOOST_FIXTURE_TEST_CASE(what_is_raised_in_del_and_in_threads_is_logged_with_the_plugins_name, Lines) {
  LogBox log;
  say("die");
  const auto died = log.await("RuntimeError: while it dies");
  BOOST_TEST((died.level == LogLevel::Error));
  BOOST_TEST(died.logger == "lines");
  BOOST_TEST(contains(died.message, "Dying.__del__"));
  BOOST_TEST(contains(died.message, "raise RuntimeError"), died.message);
  say("thread");
  const auto raised = log.await("LookupError: in a thread");
  BOOST_TEST(raised.logger == "lines");
  BOOST_TEST(contains(raised.message, "Exception in thread wild"));
  BOOST_TEST(contains(raised.message, "in run_wild"));
  BOOST_TEST(raised.file.ends_with("lines/main.py"));
  BOOST_TEST(log.count("SystemExit") == 0u);
}

BOOST_FIXTURE_TEST_CASE(a_coroutine_that_nobody_awaits_is_logged_with_the_plugins_name, Lines) {
  LogBox log;
  say("forget");
  const auto logged = log.await("Sample.work' was never awaited");
  BOOST_TEST(logged.logger == "lines");
  BOOST_TEST(logged.line == 40u);
}

BOOST_FIXTURE_TEST_CASE(the_standard_logging_reaches_the_log_with_plugin_level_file_and_line, Lines) {
  LogBox log;
  say("log");
  const auto module = log.await("by module 1");
  BOOST_TEST(module.message == "by module 1");
  BOOST_TEST((module.level == LogLevel::Warning));
  BOOST_TEST(module.logger == "lines");
  BOOST_TEST(module.file.ends_with("lines/main.py"));
  BOOST_TEST(module.line == 44u);
  const auto root = log.await("at the root");
  BOOST_TEST(root.message == "at the root");
  BOOST_TEST(root.logger == "lines");
  BOOST_TEST((root.level == LogLevel::Error));
  const auto library = log.await("of a library");
  BOOST_TEST(library.message == "library.part: of a library");
  BOOST_TEST((library.level == LogLevel::Error));
  BOOST_TEST(library.logger == "lines");
  BOOST_TEST(contains(log.await("is no number").message, "('this',)"));
  BOOST_TEST((log.await("and the handler lives").level == LogLevel::Info));
  BOOST_TEST(contains(log.await("with a traceback").message, "KeyError: 'key'"));
  BOOST_TEST(log.count("at the root") == 1u);
}

BOOST_FIXTURE_TEST_CASE(basicConfig_adds_no_second_line_whether_it_comes_before_or_after, Lines) {
  LogBox log;
  PythonExecutor executor;
  test::run(executor, "import logging, sys, qtforge\n"
                      "logging.basicConfig(level=logging.DEBUG)\n"
                      "after = list(logging.getLogger().handlers)\n"
                      "logging.basicConfig(level=logging.INFO, force=True)\n"  // as if the package were not there yet
                      "qtforge._hosting.install()\n"
                      "before = list(logging.getLogger().handlers)\n"
                      "logging.getLogger('both').warning('once')\n");
  for (const char* handlers : {"after", "before"})
    BOOST_TEST(executor.evaluate<bool>(std::string("[type(h) for h in ") + handlers + "] == [qtforge.logger.Handler]").value());
  BOOST_TEST(log.await("once").logger == "both");
  BOOST_TEST(log.count("once") == 1u);
  test::run(executor, "logging.getLogger().setLevel(logging.WARNING)\nqtforge._hosting._root_level = logging.WARNING\n"
                      "qtforge._hosting._follow()\n");
}

BOOST_FIXTURE_TEST_CASE(the_root_logger_follows_the_level_of_the_log, Lines) {
  const Level level;
  PythonExecutor executor;
  test::run(executor, "import logging\nroot = logging.getLogger()\n");
  setLogLevel(LogLevel::Debug);
  BOOST_TEST(test::becomesTrue(executor, "root.level == logging.DEBUG"));
  setLogLevel(LogLevel::Error);
  BOOST_TEST(test::becomesTrue(executor, "root.level == logging.ERROR"));
  setLogLevel(LogLevel::Info);
  BOOST_TEST(test::becomesTrue(executor, "root.level == logging.INFO"));
}

BOOST_FIXTURE_TEST_CASE(python_sees_what_the_host_and_plugins_log_and_its_own_lines_lead_to_no_others, Lines) {
  LogBox log;
  PythonExecutor executor;
  test::run(executor, R"(
import logging, qtforge
seen, forwarded = [], []
class Keep(logging.Handler):
    def emit(self, record):
        forwarded.append((record.name, record.levelno, record.getMessage()))
keep = Keep()
logging.getLogger().addHandler(keep)
def see(record):
    seen.append(record)
    qtforge.logger.warning("echo of %s", record.message)
    qtforge.logger.to_logging(record)
subscription = qtforge.logger.subscribe(see, "info")
)");
  const auto line = static_cast<unsigned>(__LINE__ + 1);
  Logger("camera").warning("too dark");
  Logger("camera").debug("not shown");
  Logger("camera").info("bytes \xff");
  say("tell");
  BOOST_TEST(test::becomesTrue(executor, "len(seen) >= 3"));
  BOOST_TEST(executor.evaluate<bool>("seen[0][:3] == (logging.WARNING, 'camera', 'too dark')").value());
  BOOST_TEST(executor.evaluate<bool>("seen[0].line == " + std::to_string(line) + " and seen[0].time > 1e9").value());
  BOOST_TEST(executor.evaluate<bool>("seen[1].message == 'bytes \\ufffd' and seen[2][:3] == (logging.INFO, 'lines', 'told')").value());
  log.await("echo of told");
  BOOST_TEST(test::becomesTrue(executor, "('qtforge.camera', logging.WARNING, 'too dark') in forwarded"));
  BOOST_TEST(log.count("too dark") == 2u);  // itself and the echo
  BOOST_TEST(executor.evaluate<bool>("subscription.unsubscribe() and not subscription.unsubscribe()").value());
  const auto shown = executor.evaluate<int>("len(seen)").value();
  Logger("camera").warning("unseen");
  test::run(executor, "logging.getLogger().removeHandler(keep)");
  BOOST_TEST(shown == 3);
  BOOST_TEST(executor.evaluate<int>("len(seen)").value() == 3);
}

BOOST_AUTO_TEST_CASE(what_sees_the_log_ends_with_its_plugin_and_may_raise) {
  const test::Folder folder;
  LogBox log;
  test::PythonManager manager;
  const auto plugin = test::start(manager, test::pythonPlugin(folder, "watcher", R"(
from qtforge import IPlugin, logger

def see(record):
    raise ValueError("cannot bear " + record.message)

class Sample(IPlugin):
    def initialize(self):
        logger.subscribe(see, 40)
)"));
  Logger("camera").error("broken");
  const auto raised = log.await("ValueError: cannot bear broken");
  BOOST_TEST(raised.logger == "watcher");
  BOOST_REQUIRE(manager.unloadPlugin("watcher").has_value());
  Logger("camera").error("unwatched");
  PythonExecutor executor;
  test::run(executor, "import qtforge, threading\ncame = threading.Event()\n"
                      "with qtforge.logger.subscribe(lambda record: came.set()):\n"
                      "    qtforge.logger.error('last')\n"
                      "    assert came.wait(20)\n");  // which comes after what the plugin would have been shown
  BOOST_TEST(log.count("cannot bear unwatched") == 0u);
}

BOOST_FIXTURE_TEST_CASE(debug_mode_times_hooks_and_handlers_and_turns_asyncios_on_until_it_ends, Lines) {
  const Level level;
  LogBox log;
  PythonExecutor executor;
  test::run(executor, "import asyncio, qtforge\nqtforge.set_debug_mode(True)\n"
                      "loop = asyncio.new_event_loop()\nwas = loop.get_debug()\n");
  BOOST_TEST(executor.evaluate<bool>("was").value());
  BOOST_TEST((logLevel() == LogLevel::Debug));
  say("nothing");
  const auto handler = log.await("its handler took ");
  BOOST_TEST((handler.level == LogLevel::Debug));
  BOOST_TEST(contains(handler.message, "of lines: its handler took "));
  BOOST_TEST(contains(handler.message, " ms on \"lines.nothing\""));
  const test::Folder other;
  test::start(manager, test::pythonPlugin(other, "timed", "from qtforge import IPlugin\nclass Sample(IPlugin): pass\n"));
  BOOST_TEST(contains(log.await("plugin 'timed': initialize took ").message, " ms"));
  log.await("plugin 'timed': activate took ");
  setDebugMode(false);  // one mode for both languages
  BOOST_TEST((logLevel() == level.before));
  BOOST_TEST(test::becomesTrue(executor, "not loop.get_debug()"));
  const auto timed = log.count("its handler took ");
  setLogLevel(LogLevel::Debug);
  say("nothing");
  BOOST_TEST(log.count("its handler took ") == timed);
  test::run(executor, "loop.close()\nfresh = asyncio.new_event_loop()\nwas = fresh.get_debug()\nfresh.close()\n");
  BOOST_TEST(!executor.evaluate<bool>("was").value());
  setDebugMode(true);
  BOOST_TEST(test::becomesTrue(executor, "qtforge._asyncio_debug._enabled"));
}

BOOST_FIXTURE_TEST_CASE(output_is_taken_by_whole_lines_with_the_plugins_name_until_it_is_released, Lines) {
  std::mutex mutex;
  std::vector<std::string> taken;
  bool underGil = false;
  PythonExecutor executor;
  test::run(executor, "import sys\nbefore = sys.stdout, sys.stderr\n");
  BOOST_REQUIRE(PythonIntegration::captureOutput([&](const OutputLine& line) {
    const std::lock_guard lock(mutex);
    underGil = underGil || PyGILState_Check();
    taken.push_back(std::string(line.plugin) + (line.stream == OutputLine::Stream::Error ? "! " : "> ") + std::string(line.text));
  }).has_value());
  say("print");
  test::run(executor, "print('of', 'nobody')\nprint('\\udc80', end='')\n");
  const std::vector<std::string> whole{"lines> one- 2", "lines! to stderr", "lines> gr\xC3\xBC\xC3\x9F", "lines> two lines", "> of nobody"};
  BOOST_TEST(taken == whole, boost::test_tools::per_element());
  BOOST_REQUIRE(PythonIntegration::releaseOutput().has_value());
  const std::set<std::string> begun(taken.begin() + static_cast<std::ptrdiff_t>(whole.size()), taken.end());
  BOOST_TEST((begun == std::set<std::string>{"> \\udc80", "lines! begun"}));
  BOOST_TEST(!underGil);
  BOOST_TEST(executor.evaluate<bool>("(sys.stdout, sys.stderr) == before").value());
  BOOST_REQUIRE(PythonIntegration::releaseOutput().has_value());
}

BOOST_FIXTURE_TEST_CASE(output_goes_to_the_log_where_no_sink_is_given_and_a_sink_may_print, Lines) {
  LogBox log;
  BOOST_REQUIRE(PythonIntegration::captureOutput().has_value());
  say("print");
  const auto out = log.await("one- 2");
  BOOST_TEST(out.logger == "lines");
  BOOST_TEST((out.level == LogLevel::Info));
  BOOST_TEST((log.await("to stderr").level == LogLevel::Warning));
  PythonExecutor executor;
  test::run(executor, "import io, sys\ndef say(): print('again', file=sys.stderr)\n");
  int calls = 0;
  BOOST_REQUIRE(PythonIntegration::captureOutput([&](const OutputLine& line) {
    if (line.text != "first") return;
    ++calls;
    BOOST_TEST(executor.callFunction<void>("print", "from the sink", python::arg("file") = nullptr).has_value());
    if (calls == 2) throw std::runtime_error("enough");
  }).has_value());
  test::run(executor, "print('first')\nprint('first')\n");
  BOOST_TEST(calls == 2);
  log.await("std::runtime_error: enough");
  BOOST_REQUIRE(PythonIntegration::releaseOutput().has_value());
}

BOOST_AUTO_TEST_SUITE_END()
