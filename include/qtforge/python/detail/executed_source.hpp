#pragma once
// qtforge/python/detail/executed_source.hpp: code that executors have run, for the source lines in tracebacks.

#include <qtforge/python/convert.hpp>

#include <deque>
#include <string>
#include <string_view>
#include <unordered_set>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What linecache is told of executors' code: the newest texts. Guarded by the GIL.
class ExecutedSources {
 public:
  static constexpr std::size_t most = 1'000;
  static constexpr std::string_view unnamed = "<executor>";  // what PythonExecutor::execute passes by default

  static ExecutedSources& instance() {
    static auto* sources = new ExecutedSources();
    return *sources;
  }

  /// @param filename  of the caller; `unnamed` becomes a name of its own
  /// @return the name to compile it under. Where Python refuses to keep the lines, tracebacks are without them
  std::string add(std::string_view filename, std::string_view code, const Gil& gil) {
    std::string name(filename);
    if (filename == unnamed) name = "<executor " + std::to_string(++last_) + '>';
    if (!tell(name, code)) PyErr_Clear();
    else if (known_.insert(name).second) order_.push_back(name);
    if (order_.size() > most) forgetOldest(gil);
    return name;
  }

 private:
  static PyObject* cache() {
    static PyObject* dict = nullptr;  // stays
    if (dict) return dict;
    const Ref module = Ref::steal(PyImport_ImportModule("linecache"));
    if (module) dict = PyObject_GetAttrString(module.get(), "cache");
    if (dict && !PyDict_Check(dict)) Py_CLEAR(dict);
    return dict;
  }

  static bool tell(const std::string& name, std::string_view code) {
    PyObject* known = cache();
    const Ref text = textToPython(code), key = textToPython(name);
    const Ref lines = Ref::steal(text ? PyUnicode_Splitlines(text.get(), 1) : nullptr);
    // Size, no time of change (so it is not looked for on disk), lines, full name.
    const Ref entry = Ref::steal(
        lines && key ? Py_BuildValue("nOOO", static_cast<Py_ssize_t>(code.size()), Py_None, lines.get(), key.get()) : nullptr);
    return known && entry && PyDict_SetItem(known, key.get(), entry.get()) == 0;
  }

  void forgetOldest(const Gil&) {
    const std::string name = std::move(order_.front());
    order_.pop_front();
    known_.erase(name);
    if (PyDict_DelItemString(cache(), name.c_str()) != 0) PyErr_Clear();
  }

  std::uint64_t last_ = 0;
  std::deque<std::string> order_;
  std::unordered_set<std::string> known_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
