// Figures of several runs, shown and written.

#include "bench.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

namespace bench {

void fail(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::fflush(nullptr);
  std::_Exit(1);
}

std::string shown(double figure) {
  char text[64];
  std::snprintf(text, sizeof text, figure < 1000 ? "%.1f" : "%.0f", figure);
  std::string digits = text;
  if (figure >= 1000)
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > 0; at -= 3)
      digits.insert(static_cast<std::size_t>(at), ",");
  return digits;
}

void check(const char* who, Counted counted, std::int64_t messages) {
  if (counted.count != messages || counted.disordered != 0)
    fail(std::string(who) + ": of " + std::to_string(messages) + " messages " + std::to_string(counted.count) +
         " arrived, " + std::to_string(counted.disordered) + " out of order");
}

void Runs::add(double figure) { figures_.insert(std::upper_bound(figures_.begin(), figures_.end(), figure), figure); }

double Runs::median() const {
  const auto half = figures_.size() / 2;
  return figures_.size() % 2 ? figures_[half] : (figures_[half - 1] + figures_[half]) / 2;
}

namespace {

void printLine(const std::string& name, const Runs& runs) {
  std::printf("  %-56s %12s %12s %12s", name.c_str(), shown(runs.median()).c_str(), shown(runs.least()).c_str(),
              shown(runs.most()).c_str());
}

}  // namespace

void Comparison::print() const {
  std::printf("\n%-58s %12s %12s %12s %8s\n", (name_ + ", " + unit_).c_str(), "median", "min", "max",
              peers_.empty() ? "" : "ratio");
  printLine(us_, ours);
  std::printf("\n");
  for (const auto& [name, theirs] : peers_) {
    printLine(name, theirs);
    std::printf(" %7.2fx\n", ratio(theirs));
  }
  std::fflush(stdout);
}

void Comparison::addTo(boost::json::array& rows, std::int64_t runs) const {
  const boost::json::object mine{{"name", name_},        {"ours", ours.median()}, {"unit", unit_},
                                 {"runs", runs},         {"min", ours.least()},   {"max", ours.most()}};
  const auto add = [&](boost::json::object others) {
    for (const auto& member : mine) others.insert(member);
    rows.push_back(std::move(others));
  };
  for (const auto& [name, theirs] : peers_)
    add({{"peer", name},
         {"theirs", theirs.median()},
         {"theirs_min", theirs.least()},
         {"theirs_max", theirs.most()},
         {"ratio", ratio(theirs)}});
  if (peers_.empty()) add({{"peer", nullptr}, {"theirs", nullptr}, {"ratio", nullptr}});
}

double Comparison::ratio(const Runs& theirs) const {
  return better_ == Better::More ? ours.median() / theirs.median() : theirs.median() / ours.median();
}

void inTurn(std::int64_t runs, const std::vector<Contender>& contenders) {
  for (const auto& one : contenders) one.measure(one.messages / 20 + 1);
  for (std::int64_t run = 0; run < runs; ++run)
    for (const auto& one : contenders) one.into->add(one.measure(one.messages));
}

}  // namespace bench
