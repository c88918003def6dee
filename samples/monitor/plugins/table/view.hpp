#pragma once
// view.hpp: what the table shows, as text: from the newest message of each topic to lines. No terminal in here.

#include <qtforge/communication/message.hpp>

#include <algorithm>
#include <chrono>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

struct Snapshot {
  std::map<std::string, qtforge::Message, std::less<>> latest;  ///< by topic
  std::set<std::string> raised;                                 ///< sources whose alert is not cleared
  std::deque<std::string> alerts;                               ///< the last ones as text, newest last
};

struct Line {
  std::string text;  ///< ASCII: one byte is one column
  bool loud = false;
};

[[gnu::format(printf, 1, 2)]] inline std::string text(const char* format, ...) {
  char buffer[512];
  std::va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(buffer, sizeof buffer, format, arguments);
  va_end(arguments);
  return buffer;
}

inline std::string clockTime(std::chrono::system_clock::time_point time) {
  const auto seconds = std::chrono::system_clock::to_time_t(time);
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return text("%02d:%02d:%02d", local.tm_hour, local.tm_min, local.tm_sec);
}

// --- from payloads to values: anybody may publish anything, so what is not there is zero or empty -------------------

inline const boost::json::value* find(const boost::json::value* payload, std::string_view pointer) {
  boost::system::error_code error;
  return payload ? payload->find_pointer(pointer, error) : nullptr;
}

inline double number(const boost::json::value* payload, std::string_view pointer) {
  const auto* value = find(payload, pointer);
  boost::system::error_code error;
  const double number = value && value->is_number() ? value->to_number<double>(error) : 0.0;
  return error ? 0.0 : number;
}

inline std::string word(const boost::json::value* payload, std::string_view pointer) {
  const auto* value = find(payload, pointer);
  return value && value->is_string() ? std::string(std::string_view(value->get_string())) : std::string();
}

inline std::vector<const boost::json::value*> elements(const boost::json::value* payload, std::string_view pointer) {
  std::vector<const boost::json::value*> all;
  const auto* value = find(payload, pointer);
  if (value && value->is_array())
    for (const auto& element : value->get_array()) all.push_back(&element);
  return all;
}

inline const boost::json::value* newest(const Snapshot& snapshot, std::string_view topic) {
  const auto found = snapshot.latest.find(topic);
  return found != snapshot.latest.end() ? found->second.json() : nullptr;
}

// --- from values to text --------------------------------------------------------------------------------------------

/// "512 B", "1.2 kB", "3.4 MB": three digits are enough to watch.
inline std::string bytes(double count) {
  const char* units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
  std::size_t unit = 0;
  while (count >= 999.5 && unit + 1 < std::size(units)) count /= 1000, ++unit;
  return text(count < 9.95 && unit > 0 ? "%.1f %s" : "%.0f %s", count, units[unit]);
}

inline std::string bar(double percent) {
  constexpr std::size_t width = 20;
  const auto filled = static_cast<std::size_t>(std::clamp(percent, 0.0, 100.0) * width / 100 + 0.5);
  return '[' + std::string(filled, '#').append(width - filled, '.') + ']';
}

inline double mebibytes(double count) { return count / (1024 * 1024); }

/// "12:03:05  alert.raised cpu: 97.5 % (mean 12.0, z +6.1)", of a message on `alert.*`.
inline std::string alertText(const qtforge::Message& message) {
  const auto* alert = message.json();
  return text("%s  %s %s: %.1f %s (mean %.1f, z %+.1f)", clockTime(message.time()).c_str(),
              std::string(message.topic()).c_str(), word(alert, "/source").c_str(), number(alert, "/value"),
              word(alert, "/unit").c_str(), number(alert, "/mean"), number(alert, "/z"));
}

/// One line with what matters most; what has not been heard of is left out.
inline std::string plainLine(const Snapshot& snapshot) {
  auto line = clockTime(std::chrono::system_clock::now());
  if (const auto* cpu = newest(snapshot, "system.cpu")) {
    const auto cores = elements(cpu, "/cores");
    double busiest = 0;
    for (const auto* core : cores) busiest = std::max(busiest, number(core, ""));
    line += text("  cpu %.1f %% of %zu cores, busiest %.1f %%", number(cpu, "/total"), cores.size(), busiest);
  }
  if (const auto* memory = newest(snapshot, "system.memory"))
    line += text("  memory %.0f/%.0f MiB", mebibytes(number(memory, "/used")), mebibytes(number(memory, "/total")));
  if (const auto* network = newest(snapshot, "system.network"))
    line += text("  network %s/s in, %s/s out", bytes(number(network, "/rx_per_s")).c_str(),
                 bytes(number(network, "/tx_per_s")).c_str());
  if (const auto* processes = newest(snapshot, "system.processes"))
    line += text("  top %s %.0f %%", word(processes, "/top/0/name").c_str(), number(processes, "/top/0/cpu"));
  return line + text("  alerts %zu", snapshot.raised.size());
}

/// "mean 12.0  deviation 3.4  z +0.5" of a message on `analysis.*`, `scale` units of it being one.
inline std::string analysisText(const boost::json::value* found, double scale = 1) {
  if (!found) return {};
  return text("mean %.1f  deviation %.1f  z %+.1f", number(found, "/mean") / scale, number(found, "/deviation") / scale,
              number(found, "/z"));
}

// --- the table, block by block ---------------------------------------------------------------------------------------

/// "cpu       12.3 %  [##..................]  " and `more`.
inline std::string gauge(const char* name, double percent, const std::string& more) {
  return text("%-8s %5.1f %%  %s  ", name, percent, bar(percent).c_str()) + more;
}

inline void addCpu(std::vector<Line>& lines, const Snapshot& snapshot) {
  const auto* cpu = newest(snapshot, "system.cpu");
  if (!cpu) return;
  lines.push_back({gauge("cpu", number(cpu, "/total"), analysisText(newest(snapshot, "analysis.cpu"))),
                   snapshot.raised.contains("cpu")});
  std::string cores = "  cores ";
  for (const auto* core : elements(cpu, "/cores")) cores += text(" %3.0f", number(core, ""));
  lines.push_back({cores});
}

inline void addMemory(std::vector<Line>& lines, const Snapshot& snapshot) {
  const auto* memory = newest(snapshot, "system.memory");
  if (!memory) return;
  lines.push_back({gauge("memory", number(memory, "/percent"), analysisText(newest(snapshot, "analysis.memory"))),
                   snapshot.raised.contains("memory")});
  lines.push_back({text("  used   %.0f of %.0f MiB, swap %.0f of %.0f MiB", mebibytes(number(memory, "/used")),
                        mebibytes(number(memory, "/total")), mebibytes(number(memory, "/swap_used")),
                        mebibytes(number(memory, "/swap_total")))});
}

inline void addNetwork(std::vector<Line>& lines, const Snapshot& snapshot) {
  const auto* network = newest(snapshot, "system.network");
  if (!network) return;
  lines.push_back({text("network  %8s/s in %8s/s out    kB/s: %s", bytes(number(network, "/rx_per_s")).c_str(),
                        bytes(number(network, "/tx_per_s")).c_str(),
                        analysisText(newest(snapshot, "analysis.network"), 1000).c_str()),
                   snapshot.raised.contains("network")});
}

inline void addDisks(std::vector<Line>& lines, const Snapshot& snapshot) {
  const auto* disks = newest(snapshot, "system.disks");
  for (const auto* mount : elements(disks, "/mounts"))
    lines.push_back({gauge("disk", number(mount, "/percent"),
                           text("%s of %s on %s", bytes(number(mount, "/used")).c_str(),
                                bytes(number(mount, "/total")).c_str(), word(mount, "/path").c_str()))});
  for (const auto* device : elements(disks, "/devices"))
    lines.push_back({text("  %-8s %8s/s read %8s/s written", word(device, "/name").c_str(),
                          bytes(number(device, "/read_per_s")).c_str(),
                          bytes(number(device, "/written_per_s")).c_str())});
}

inline void addProcesses(std::vector<Line>& lines, const Snapshot& snapshot) {
  const auto* processes = newest(snapshot, "system.processes");
  if (!processes) return;
  lines.push_back({text("processes %.0f", number(processes, "/count"))});
  for (const auto* process : elements(processes, "/top"))
    lines.push_back({text("  %7.0f  %-16s %6.1f %%  %8s", number(process, "/pid"), word(process, "/name").c_str(),
                          number(process, "/cpu"), bytes(number(process, "/memory")).c_str())});
}

/// The whole table; what has not been heard of is left out.
inline std::vector<Line> frame(const Snapshot& snapshot) {
  std::vector<Line> lines;
  for (const auto add : {addCpu, addMemory, addNetwork, addDisks, addProcesses}) add(lines, snapshot);
  lines.push_back({text("alerts    %zu", snapshot.raised.size()), !snapshot.raised.empty()});
  for (const auto& alert : snapshot.alerts) lines.push_back({"  " + alert});
  return lines;
}

}  // namespace monitor
