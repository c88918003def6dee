// Errors on their way between the languages: with types, causes, notes, groups, source lines and tracebacks.

#include "log_box.hpp"

#include <stdexcept>
#include <system_error>

using namespace qtforge;
using qtforge::python::PythonExecutor;
using test::contains;
using test::LogBox;
namespace json = boost::json;

namespace errors_test {

bool hasNotes(PythonExecutor& executor) { return executor.evaluate<bool>("hasattr(BaseException, 'add_note')").value(); }

/// Throws two exceptions, the one because of the other.
[[noreturn]] void throwNested() {
  try {
    throw std::system_error(ENOENT, std::generic_category(), "open picture");
  } catch (...) {
    std::throw_with_nested(std::runtime_error("cannot filter"));
  }
}

}  // namespace errors_test

using namespace errors_test;

BOOST_AUTO_TEST_SUITE(errors)

BOOST_AUTO_TEST_CASE(what_a_handler_raises_is_one_text_with_causes_context_and_source_lines) {
  const test::Folder folder;
  LogBox log;
  test::PythonManager manager;
  const auto plugin = test::start(manager, test::pythonPlugin(folder, "chains", R"(
from qtforge import IPlugin, subscribe

def read(key):
    try:
        return {}[key]
    except KeyError:
        return 1 / 0  # while it is handled

class Sample(IPlugin):
    @subscribe("chains.in")
    def on_message(self, payload):
        try:
            read("lost")
        except ZeroDivisionError as cause:
            raise ValueError("no reading") from cause
)"));
  MessageBus::instance().publish("chains.in", 1);
  const auto logged = log.await("no reading");
  BOOST_TEST((logged.level == LogLevel::Error));
  for (const char* part : {"of chains: its handler failed on \"chains.in\"", "ValueError: no reading", "KeyError: 'lost'",
                           "During handling of the above exception", "ZeroDivisionError: division by zero",
                           "The above exception was the direct cause", "return 1 / 0  # while it is handled", "main.py\", line 8"})
    BOOST_TEST(contains(logged.message, part), part << " is not in\n" << logged.message);
  BOOST_TEST(log.count("no reading") == 1u);
}

BOOST_AUTO_TEST_CASE(notes_and_the_members_of_a_group_are_in_the_text) {
  PythonExecutor executor;
  if (!hasNotes(executor)) return;
  test::run(executor, R"(
def fail():
    inner = KeyError("member")
    inner.add_note("looked for twice")
    raise ExceptionGroup("several", [inner, ExceptionGroup("below", [OSError("disk")])])
)");
  const auto error = executor.callFunction("fail").error();
  BOOST_TEST(error.pythonType() == "ExceptionGroup");
  for (const char* part : {"several", "KeyError: 'member'", "looked for twice", "below", "OSError: disk"})
    BOOST_TEST(contains(error.report(), part), part << " is not in\n" << error.report());
}

BOOST_AUTO_TEST_CASE(code_of_an_executor_has_source_lines_in_its_tracebacks) {
  PythonExecutor executor, other;
  test::run(executor, "def fail():\n    raise KeyError('mine')  # of the first\n");
  test::run(other, "def fail():\n    raise KeyError('other')  # of the second\n");
  const auto error = executor.callFunction("fail").error();
  BOOST_TEST(contains(error.traceback(), "# of the first"), error.traceback());
  BOOST_TEST(contains(other.callFunction("fail").error().traceback(), "# of the second"));
  BOOST_REQUIRE(executor.execute("def named():\n    raise KeyError('named')  # of a file\n", "no_such_file.py").has_value());
  BOOST_TEST(contains(executor.callFunction("named").error().traceback(), "# of a file"));
}

BOOST_AUTO_TEST_CASE(nested_exceptions_of_Cpp_reach_python_and_come_back_with_types_and_causes) {
  const auto& bus = MessageBus::instance();
  const auto responder = bus.respond("errors.filter", [](const json::value&) -> int { throwNested(); }).value();
  PythonExecutor executor;
  test::run(executor, "import qtforge\ndef ask(): return qtforge.MessageBus.instance().request('errors.filter', 1)\n");
  const std::string chain = "std::runtime_error: cannot filter; caused by std::system_error: open picture: ";
  test::run(executor, "try:\n    ask()\nexcept qtforge.Error as error:\n    text = str(error)\n");
  BOOST_TEST(contains(executor.evaluate<std::string>("text").value(), chain));
  const auto back = executor.callFunction("ask").error();
  BOOST_TEST(back.pythonType() == "qtforge.errors.BusError");
  BOOST_TEST(contains(back.message(), chain), back.message());
  BOOST_TEST(contains(back.traceback(), "in ask"));
}

BOOST_AUTO_TEST_CASE(an_exception_of_python_that_went_through_Cpp_is_caught_by_its_type_and_has_both_tracebacks) {
  const auto& bus = MessageBus::instance();
  PythonExecutor executor;
  test::run(executor, "def inner():\n    raise KeyError('lost')\n");
  const auto responder = bus.respond("errors.inner", [&](const json::value& how) -> int {
    try {
      return executor.callFunction<int>("inner").value();
    } catch (...) {
      if (how.as_string() == "plainly") throw;
      std::throw_with_nested(std::logic_error("asked in vain"));
    }
  }).value();
  test::run(executor, R"(
import qtforge, traceback
def outer(how):
    qtforge.MessageBus.instance().request("errors.inner", how)
def caught(how):
    try:
        outer(how)
    except KeyError as error:
        assert isinstance(error, qtforge.Error), type(error)
        assert error.python_type == "KeyError"
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
)");
  for (const std::string how : {"plainly", "nested"}) {
    const auto text = executor.callFunction<std::string>("caught", how).value();
    for (const char* part : {"in outer", "in inner", "KeyError: 'lost'"})
      BOOST_TEST(contains(text, part), part << " is not in\n" << text);
    const auto back = executor.callFunction("outer", how).error();
    BOOST_TEST(contains(back.report(), "in outer"));
    BOOST_TEST(contains(back.report(), "in inner"), back.report());
    BOOST_TEST(contains(back.message(), "std::logic_error: asked in vain; caused by") == (how == "nested"));
  }
}

BOOST_AUTO_TEST_SUITE_END()
