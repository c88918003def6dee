// How fast messages go from C++ to Python and to C++: by the bus and, in the same process and in turn, by what one
// would write without it. `--help` says what can be set.

#include "bench.hpp"

#include <qtforge/python/python_integration.hpp>
#include <qtforge/qtforge.hpp>

#include <boost/json/serialize.hpp>
#include <boost/version.hpp>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

using namespace bench;

namespace {

struct Measurement {
  const char* name;
  std::vector<Comparison> (*measure)(const Options& options);
};

constexpr std::array measurements{
    Measurement{"python", &measurePython}, Measurement{"calls", &measureCalls},     Measurement{"direct", &measureDirect},
    Measurement{"threads", &measureThreads},
    Measurement{"churn", &measureChurn},   Measurement{"scale", &measureScale},     Measurement{"queued", &measureQueued},
    Measurement{"latency", &measureLatency}, Measurement{"ping-pong", &measurePingPong},
    Measurement{"interface", &measureInterface}, Measurement{"start", &measureStart}};

constexpr const char* help = R"(bench [--only NAME]... [--runs N] [--messages N] [--peer-messages N] [--subscriptions N] [--json FILE]

  --only NAME        only what is named, more than one if given again: python, calls, direct, threads, churn, scale,
                     queued, latency, ping-pong, interface, start
  --runs N           how often each is measured, in turn (default: 5)
  --messages N       messages per run of qtforge's (default: 1000000)
  --peer-messages N  messages per run of pybind11's, whose rates are compared (default: a fifth of them)
  --subscriptions N  how many that do not match, for scale (default: 1000000)
  --json FILE        writes the rows: name, ours, peer, theirs, ratio, unit, runs, min, max, theirs_min, theirs_max.
                     `ours` and `theirs` are medians, `min` and `max` are of `ours`, and a ratio above 1 says that ours
                     is so many times as fast
)";

bool known(std::string_view name) {
  return std::any_of(measurements.begin(), measurements.end(), [&](const Measurement& m) { return name == m.name; });
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--help" || name == "-h") {
      std::fputs(help, stdout);
      std::exit(0);
    }
    if (i + 1 == argc) fail(std::string(name) + " needs a value, or is unknown; see --help");
    const std::string_view value = argv[++i];
    if (name == "--json") {
      options.json = value;
      continue;
    }
    if (name == "--only") {
      if (!known(value)) fail("--only: no measurement is called " + std::string(value) + "; see --help");
      options.only.emplace_back(value);
      continue;
    }
    auto* number = name == "--runs"            ? &options.runs
                   : name == "--messages"      ? &options.messages
                   : name == "--peer-messages" ? &options.peerMessages
                   : name == "--subscriptions" ? &options.subscriptions
                                               : nullptr;
    if (!number) fail("unknown: " + std::string(name) + "; see --help");
    const auto read = std::from_chars(value.data(), value.data() + value.size(), *number);
    if (read.ec != std::errc() || read.ptr != value.data() + value.size() || *number < 1)
      fail(std::string(name) + ": a number of at least 1 expected, not " + std::string(value));
  }
  if (options.peerMessages == 0) options.peerMessages = std::max<std::int64_t>(1, options.messages / 5);
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 2 && std::string_view(argv[1]) == startOption) return startAndEnd(argc, argv);
  const Options options = parse(argc, argv);
  if (auto started = qtforge::python::PythonIntegration::initialize(); !started) fail(started.error().message());

  double load = 0;
  getloadavg(&load, 1);
  std::printf("Python %s, pybind11 %d.%d, Boost %d.%d, compiler %s, %u processors, load before %.1f\n", PY_VERSION,
              PYBIND11_VERSION_MAJOR, PYBIND11_VERSION_MINOR, BOOST_VERSION / 100'000, BOOST_VERSION / 100 % 1000,
              __VERSION__, std::thread::hardware_concurrency(), load);
  std::printf("%s messages a run, %lld runs each, in turn\n", shown(static_cast<double>(options.messages)).c_str(),
              static_cast<long long>(options.runs));

  boost::json::array rows;
  for (const auto& [name, measure] : measurements) {
    if (!options.only.empty() && std::find(options.only.begin(), options.only.end(), name) == options.only.end()) continue;
    for (const auto& comparison : measure(options)) {
      comparison.print();
      comparison.addTo(rows, options.runs);
    }
  }
  std::printf("\nnone lost, all in order\n");
  if (!options.json.empty() && !(std::ofstream(options.json) << boost::json::serialize(rows) << std::endl))
    fail("cannot write " + options.json);
  return 0;
}
