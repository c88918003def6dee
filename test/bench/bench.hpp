#pragma once
// What the benchmarks share: their options, the figures of several runs, and how those are compared.

#include <boost/json/array.hpp>

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

using Clock = std::chrono::steady_clock;

struct Options {
  std::int64_t messages = 1'000'000;       // per run of ours
  std::int64_t peerMessages = 0;           // per run of the peers from C++ to Python, which are slower; 0: a fifth
  std::int64_t subscriptions = 1'000'000;  // that do not match
  std::int64_t runs = 5;
  std::string json;
  std::vector<std::string> only;
};

/// Ends the program; what is measured must be right first.
[[noreturn]] void fail(const std::string& why);

/// The value, or the end of the program with its error.
template <class Expected>
auto valueOf(Expected&& result) {
  if (!result) fail(result.error().message());
  return std::move(*result);
}

inline double seconds(Clock::duration passed) { return std::chrono::duration<double>(passed).count(); }

/// A figure with the thousands apart, or one decimal where it is small.
std::string shown(double figure);

struct Counted {
  std::int64_t count, disordered;
};
/// Ends the program unless all are there, in order.
void check(const char* who, Counted counted, std::int64_t messages);

/// @return ns per call
template <class F>
double perCall(std::int64_t calls, F&& call) {
  const auto begin = Clock::now();
  for (std::int64_t i = 0; i < calls; ++i) call();
  return seconds(Clock::now() - begin) / static_cast<double>(calls) * 1e9;
}

/// What several runs gave.
class Runs {
 public:
  void add(double figure);
  [[nodiscard]] double least() const { return figures_.front(); }
  [[nodiscard]] double most() const { return figures_.back(); }
  [[nodiscard]] double median() const;

 private:
  std::vector<double> figures_;  // ascending
};

enum class Better { More, Less };

/// One measurement with its peers: a table on the screen, a row each in the file.
class Comparison {
 public:
  Comparison(std::string name, std::string unit, Better better, std::string us = "qtforge")
      : name_(std::move(name)), unit_(std::move(unit)), us_(std::move(us)), better_(better) {}

  Runs ours;

  Runs& peer(std::string name) { return peers_.emplace_back(std::move(name), Runs()).second; }

  void print() const;
  void addTo(boost::json::array& rows, std::int64_t runs) const;

 private:
  [[nodiscard]] double ratio(const Runs& theirs) const;

  std::string name_, unit_, us_;
  Better better_;
  std::deque<std::pair<std::string, Runs>> peers_;
};

/// Who is measured, and what becomes of it.
struct Contender {
  Runs* into;
  std::int64_t messages;
  std::function<double(std::int64_t messages)> measure;
};

/// Measures each once with few messages, which does not count, then `runs` times in turn.
void inTurn(std::int64_t runs, const std::vector<Contender>& contenders);

std::vector<Comparison> measurePython(const Options& options);
std::vector<Comparison> measureCalls(const Options& options);
std::vector<Comparison> measureDirect(const Options& options);
std::vector<Comparison> measureThreads(const Options& options);
std::vector<Comparison> measureChurn(const Options& options);
std::vector<Comparison> measureScale(const Options& options);
std::vector<Comparison> measureQueued(const Options& options);
std::vector<Comparison> measureLatency(const Options& options);
std::vector<Comparison> measurePingPong(const Options& options);
std::vector<Comparison> measureInterface(const Options& options);
std::vector<Comparison> measureStart(const Options& options);

/// With it, a folder and maybe more the program only starts Python in that environment, lean where there is more, and ends.
inline constexpr const char* startOption = "--start";
int startAndEnd(int argc, char** argv);

}  // namespace bench
