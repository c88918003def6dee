// How long a host takes to start Python and to end, beside the interpreter itself, in an environment without packages.

#include "bench.hpp"

#include <qtforge/python/python_integration.hpp>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

extern char** environ;

namespace bench {

namespace {

namespace fs = std::filesystem;
using Command = std::vector<std::string>;

constexpr std::int64_t starts = 20;  // per run

struct Spent {
  double wall, processor;  // ms
};

/// The variables of this process that are not for Python.
std::vector<char*> variables() {
  std::vector<char*> kept;
  for (char** variable = environ; *variable; ++variable)
    if (std::strncmp(*variable, "PYTHON", 6) != 0 && std::strncmp(*variable, "VIRTUAL_ENV=", 12) != 0) kept.push_back(*variable);
  kept.push_back(nullptr);
  return kept;
}

Spent run(const Command& command) {
  std::vector<char*> arguments;
  for (const auto& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  auto environment = variables();
  const auto begin = Clock::now();
  pid_t child = -1;
  if (posix_spawn(&child, arguments[0], nullptr, nullptr, arguments.data(), environment.data()) != 0)
    fail("cannot start " + command.front());
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child || status != 0) fail(command.front() + " failed");
  const auto milliseconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_usec) / 1e3;
  };
  return {seconds(Clock::now() - begin) * 1e3, milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime)};
}

/// An environment for the time of the measurement.
class Environment {
 public:
  Environment() : folder_(fs::temp_directory_path() / ("qtforge-bench-" + std::to_string(getpid()))) {
    run({QTFORGE_PYTHON_EXECUTABLE, "-m", "venv", "--without-pip", folder_.string()});
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    std::error_code failure;
    fs::remove_all(folder_, failure);
  }
  [[nodiscard]] std::string folder() const { return folder_.string(); }
  [[nodiscard]] std::string python() const { return (folder_ / "bin/python").string(); }

 private:
  const fs::path folder_;
};

}  // namespace

int startAndEnd(int argc, char** argv) {
  qtforge::python::PythonConfig config;
  config.virtualEnvPath = argv[2];
  config.lean = argc > 3;
  const auto started = qtforge::python::PythonIntegration::initialize(config);
  if (!started) fail(started.error().message());
  return 0;
}

std::vector<Comparison> measureStart(const Options& options) {
  const Environment environment;
  const auto own = fs::read_symlink("/proc/self/exe").string();
  const Command ours{own, startOption, environment.folder()}, lean{own, startOption, environment.folder(), "lean"};
  const Command python{environment.python(), "-c", "pass"}, bare{environment.python(), "-I", "-S", "-c", "pass"};
  std::vector<Comparison> all;
  for (const auto figure : {&Spent::processor, &Spent::wall}) {
    auto& result = all.emplace_back("start Python and exit", figure == &Spent::wall ? "ms" : "ms of processor time", Better::Less);
    const auto contender = [&](Runs& into, const Command& command) {
      return Contender{&into, starts, [=](std::int64_t times) {
                         double sum = 0;
                         for (std::int64_t i = 0; i < times; ++i) sum += run(command).*figure;
                         return sum / static_cast<double>(times);
                       }};
    };
    inTurn(options.runs, {contender(result.ours, ours), contender(result.peer("python -c pass"), python),
                          contender(result.peer("qtforge, PythonConfig::lean"), lean),
                          contender(result.peer("python -I -S -c pass"), bare)});
  }
  return all;
}

}  // namespace bench
