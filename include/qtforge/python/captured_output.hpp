#pragma once
// qtforge/python/captured_output.hpp: what Python code prints, taken by whole lines with the plugin's name.

#include <qtforge/python/detail/bridge_publish.hpp>

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <tuple>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// One line that Python code wrote to sys.stdout or sys.stderr.
struct OutputLine {
  enum class Stream { Out, Error };

  std::string_view plugin;  ///< who wrote it; empty: no plugin, for example code of a PythonExecutor
  std::string_view text;    ///< UTF-8, without the end of the line; at most 64 KiB, a longer line comes in parts
  Stream stream = Stream::Out;
};

/// Called without the GIL on the thread that wrote the end of the line; several threads may be in it at once. What Python
/// code prints while it runs, by its thread, goes where it would without it.
using OutputSink = std::function<void(const OutputLine&)>;

namespace detail {

/// Puts lines together: of one thread, plugin and stream each.
///
/// @par Thread safety  any thread.
class OutputLines {
 public:
  static constexpr std::size_t longest = 65'536;  // bytes; a line that is longer is told in parts

  static OutputLines& instance() {
    static auto* lines = new OutputLines();
    return *lines;
  }

  /// Null: nobody takes them any more.
  void setSink(std::shared_ptr<const OutputSink> sink) {
    const std::lock_guard lock(mutex_);
    sink_.swap(sink);
  }

  /// Whether this thread is inside the sink.
  [[nodiscard]] static bool inSink() noexcept { return inSink_; }

  void write(const std::string& plugin, OutputLine::Stream stream, std::string_view text) {
    std::vector<std::string> lines;
    std::shared_ptr<const OutputSink> sink;
    {
      const std::lock_guard lock(mutex_);
      sink = sink_;
      auto& begun = begun_[{std::this_thread::get_id(), plugin, stream}];
      for (std::size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) {
        begun.append(text.substr(0, end));
        takeParts(begun, lines);
        lines.push_back(std::exchange(begun, {}));
      }
      begun.append(text);
      takeParts(begun, lines);
      if (begun.empty()) begun_.erase({std::this_thread::get_id(), plugin, stream});
    }
    for (const auto& line : lines) tell(sink, {plugin, line, stream});
  }

  /// Tells the lines that have no end.
  void finish() {
    std::map<Writer, std::string> begun;
    std::shared_ptr<const OutputSink> sink;
    {
      const std::lock_guard lock(mutex_);
      begun_.swap(begun);
      sink = sink_;
    }
    for (const auto& [writer, line] : begun) tell(sink, {std::get<1>(writer), line, std::get<2>(writer)});
  }

 private:
  using Writer = std::tuple<std::thread::id, std::string, OutputLine::Stream>;

  // Of what is too long, all but a rest; between characters.
  static void takeParts(std::string& line, std::vector<std::string>& parts) {
    std::string_view rest = line;
    while (rest.size() > longest) {
      auto end = longest;
      while (end > longest - 4 && (static_cast<unsigned char>(rest[end]) & 0xC0) == 0x80) --end;
      parts.emplace_back(rest.substr(0, end));
      rest.remove_prefix(end);
    }
    if (rest.size() != line.size()) line = std::string(rest);
  }

  static void tell(const std::shared_ptr<const OutputSink>& sink, const OutputLine& line) {
    if (!sink) return;
    inSink_ = true;
    try {
      (*sink)(line);
    } catch (...) {
      Logger("qtforge.python").error("taking a line of output: " + qtforge::detail::caughtError().report());
    }
    inSink_ = false;
  }

  static inline thread_local bool inSink_ = false;

  std::mutex mutex_;  // guards all below; a leaf
  std::shared_ptr<const OutputSink> sink_;
  std::map<Writer, std::string> begun_;
};

/// The streams in place of sys.stdout and sys.stderr.
class CapturedOutput {
 public:
  /// @par Thread safety  one thread at a time.
  static expected<void> begin(OutputSink sink) {
    if (!sink) sink = &toLog;
    OutputLines::instance().setSink(std::make_shared<const OutputSink>(std::move(sink)));
    const Gil gil;
    return run("begin(write, finish)", gil);
  }

  static expected<void> end() {
    const Gil gil;
    auto ended = run("end()", gil);
    const GilRelease released;
    OutputLines::instance().finish();
    OutputLines::instance().setSink(nullptr);
    return ended;
  }

 private:
  static constexpr const char* streams = R"(
import atexit, io, sys

class Captured(io.TextIOBase):
    def __init__(self, name, behind, write):
        self._name, self._behind, self._write = name, behind, write
    name = property(lambda self: "<%s>" % self._name)
    encoding = property(lambda self: "utf-8")
    errors = property(lambda self: "backslashreplace")
    def __getattr__(self, name):
        return getattr(self._behind, name)
    def writable(self):
        return True
    def fileno(self):
        return self._behind.fileno()
    def flush(self):
        if self._behind is not None:
            self._behind.flush()
    def write(self, text):
        if not isinstance(text, str):
            raise TypeError("write() argument must be str, not " + type(text).__name__)
        if not self._write(text, self._name == "stderr") and self._behind is not None:
            self._behind.write(text)
        return len(text)

behind = {}

def begin(write, finish):
    if not behind:
        for name in ("stdout", "stderr"):
            behind[name] = getattr(sys, name), Captured(name, getattr(sys, name), write)
            setattr(sys, name, behind[name][1])
        atexit.register(finish)

def end():
    for name, (before, captured) in behind.items():
        if getattr(sys, name) is captured:
            setattr(sys, name, before)
    behind.clear()
)";

  static void toLog(const OutputLine& line) {
    const Logger logger(line.plugin.empty() ? "python" : std::string(line.plugin));
    logger.write(line.stream == OutputLine::Stream::Error ? LogLevel::Warning : LogLevel::Info, line.text);
  }

  // Runs `call` where the text above has been run.
  static expected<void> run(const char* call, const Gil& gil) {
    static PyObject* names = nullptr;  // stays
    if (!names) {
      static PyMethodDef functions[] = {{"write", &write, METH_VARARGS, nullptr}, {"finish", &finish, METH_NOARGS, nullptr}};
      Ref made = Ref::steal(PyDict_New());
      if (!made || PyDict_SetItemString(made.get(), "__builtins__", PyEval_GetBuiltins()) != 0)
        return takePythonError("captured output", gil);
      for (auto& function : functions) {
        const Ref object = Ref::steal(PyCFunction_New(&function, nullptr));
        if (!object || PyDict_SetItemString(made.get(), function.ml_name, object.get()) != 0)
          return takePythonError("captured output", gil);
      }
      if (!Ref::steal(PyRun_String(streams, Py_file_input, made.get(), made.get())))
        return takePythonError("captured output", gil);
      names = made.release();
    }
    if (!Ref::steal(PyRun_String(call, Py_eval_input, names, names))) return takePythonError("captured output", gil);
    return {};
  }

  // write(text, is_error): whether it was taken.
  static PyObject* write(PyObject*, PyObject* arguments) {
    const Gil gil{GilHeld()};
    PyObject* text = nullptr;
    int isError = 0;
    if (!PyArg_ParseTuple(arguments, "Up", &text, &isError)) return nullptr;
    if (OutputLines::inSink()) Py_RETURN_FALSE;
    const Ref bytes = Ref::steal(PyUnicode_AsEncodedString(text, "utf-8", "backslashreplace"));
    if (!bytes) return nullptr;
    const auto plugin = pluginOnStack(gil);
    const std::string name = plugin ? plugin->name : std::string();
    {
      const GilRelease released;  // a sink may wait
      OutputLines::instance().write(name, isError ? OutputLine::Stream::Error : OutputLine::Stream::Out,
                                    {PyBytes_AS_STRING(bytes.get()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.get()))});
    }
    Py_RETURN_TRUE;
  }

  static PyObject* finish(PyObject*, PyObject*) {
    {
      const GilRelease released;
      OutputLines::instance().finish();
    }
    Py_RETURN_NONE;
  }

  // Whose code writes: of this thread's scope, else of a caller's module.
  static std::shared_ptr<PluginContext> pluginOnStack(const Gil&) {
    if (auto* context = PluginScope::current()) return context->shared_from_this();
    Ref frame = Ref::borrow(reinterpret_cast<PyObject*>(PyEval_GetFrame()));
    while (frame && frame.get() != Py_None) {
      const Ref globals = Ref::steal(PyObject_GetAttrString(frame.get(), "f_globals"));
      PyObject* name = globals ? PyDict_GetItemString(globals.get(), "__name__") : nullptr;
      const char* text = name && PyUnicode_Check(name) ? PyUnicode_AsUTF8(name) : nullptr;
      if (text)
        if (auto plugin = Interpreter::find()->pluginOfModule(text)) return plugin;
      frame = Ref::steal(PyObject_GetAttrString(frame.get(), "f_back"));
    }
    PyErr_Clear();
    return nullptr;
  }
};

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI::python
