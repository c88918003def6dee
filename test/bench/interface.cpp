// Calls of a plugin by its interface: in C++ beside a plain virtual call, in Python beside what pybind11's users write.

#include "bench.hpp"

#include <qtforge/core/implements.hpp>
#include <qtforge/core/plugin_manager.hpp>
#include <qtforge/python/python_plugin_loader.hpp>

#include <pybind11/pybind11.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <unistd.h>

using namespace qtforge;
namespace fs = std::filesystem;
namespace py = pybind11;

namespace bench {

namespace {

// test/plugins/py_filter has the method too.
using Adder = Interface<"bench.adder/1", Method<"sum(a, b)", std::int64_t(int, std::int64_t)>>;

struct IAdder {
  virtual ~IAdder() = default;
  virtual std::int64_t sum(int a, std::int64_t b) = 0;
};

struct VirtualAdder final : IAdder {
  [[gnu::noinline]] std::int64_t sum(int a, std::int64_t b) override { return a + b; }  // as from another library
};

class AdderPlugin final : public Implements<AdderPlugin, Adder> {
 public:
  std::int64_t sum(int a, std::int64_t b) { return a + b; }
  static constexpr auto methods() { return std::tuple(bind<"sum">(&AdderPlugin::sum)); }
};

class AdderLoader final : public IPluginLoader {
 public:
  [[nodiscard]] std::string_view language() const override { return "bench"; }
  [[nodiscard]] expected<std::unique_ptr<IPlugin>> load(const Manifest&, const LoadContext&) override {
    return std::unique_ptr<IPlugin>(std::make_unique<AdderPlugin>());
  }
};

/// A folder with the manifest of an AdderPlugin.
class AdderFolder {
 public:
  AdderFolder() : path_(fs::temp_directory_path() / ("qtforge-bench-" + std::to_string(::getpid()))) {
    fs::create_directories(path_);
    std::ofstream(path_ / "plugin.json")
        << R"({"name": "adder", "version": "1.0.0", "language": "bench", "entry_point": "none"})";
  }
  AdderFolder(const AdderFolder&) = delete;
  AdderFolder& operator=(const AdderFolder&) = delete;
  ~AdderFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  [[nodiscard]] const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// @return ns per call of `call`, which adds 1 to what it is given
template <class F>
double sums(const char* who, std::int64_t calls, F&& call) {
  std::int64_t sum = 0;
  const double passed = perCall(calls, [&] { sum = call(sum); });
  check(who, {sum, 0}, calls);
  return passed;
}

}  // namespace

std::vector<Comparison> measureInterface(const Options& options) {
  PluginManager manager;
  manager.addLoader(std::make_unique<python::PythonPluginLoader>());
  manager.addLoader(std::make_unique<AdderLoader>());
  const AdderFolder folder;
  (void)valueOf(manager.loadPlugin(folder.path()));
  (void)valueOf(manager.loadPlugin(fs::path(QTFORGE_BENCH_PLUGIN).parent_path() / "py_filter"));

  const auto adder = valueOf(manager.find<Adder>("adder"));
  const auto guard = valueOf(adder.lock());
  Comparison native("calls of a C++ plugin, sum(int, int64)", "ns", Better::Less, "qtforge, through a guard");
  inTurn(options.runs,
         {{&native.ours, options.messages * 10,
           [&](std::int64_t calls) {
             return sums("guard", calls, [&](std::int64_t sum) { return *guard.call<"sum">(1, sum); });
           }},
          {&native.peer("a plain virtual call"), options.messages * 10,
           [&](std::int64_t calls) {
             VirtualAdder plain;
             IAdder* object = &plain;
             return sums("virtual", calls, [&](std::int64_t sum) {
               __asm__ volatile("" : "+r"(object));  // whose class the compiler must not know
               return object->sum(1, sum);
             });
           }},
          {&native.peer("qtforge, each call pinned"), options.messages,
           [&](std::int64_t calls) {
             return sums("pinned", calls, [&](std::int64_t sum) { return *adder.call<"sum">(1, sum); });
           }}});

  const auto inPython = valueOf(manager.find<Adder>("py_filter"));
  const auto pythonGuard = valueOf(inPython.lock());
  py::object method;
  {
    const py::gil_scoped_acquire gil;
    method = py::module_::import("qtforge_plugins.py_filter.main").attr("Plugin")().attr("sum");
  }
  Comparison calls("calls of a Python plugin, sum(int, int64)", "ns", Better::Less, "qtforge, each call pinned");
  inTurn(options.runs,
         {{&calls.ours, options.messages,
           [&](std::int64_t count) {
             return sums("Python", count, [&](std::int64_t sum) { return *inPython.call<"sum">(1, sum); });
           }},
          {&calls.peer("qtforge, through a guard"), options.messages,
           [&](std::int64_t count) {
             return sums("Python, guard", count, [&](std::int64_t sum) { return *pythonGuard.call<"sum">(1, sum); });
           }},
          {&calls.peer("pybind11, GIL taken for each call"), options.messages,
           [&](std::int64_t count) {
             return sums("pybind11", count, [&](std::int64_t sum) {
               const py::gil_scoped_acquire gil;
               return method(1, sum).cast<std::int64_t>();
             });
           }}});
  {
    const py::gil_scoped_acquire gil;
    method = py::object();
  }
  return {native, calls};
}

}  // namespace bench
