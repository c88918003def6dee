// system_reader: reads /proc ten times a second and publishes what it finds on system.*.
//
// What a text under /proc means is in proc_parse.hpp; here it is read, compared with the reading before, and published.

#include "proc_parse.hpp"

#include <qtforge/plugin.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>

#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <utility>

namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr auto interval = std::chrono::milliseconds(100);
constexpr std::size_t processWindow = 10;  // intervals over which a process's share of a CPU is measured
constexpr std::size_t topProcesses = 5;

std::string readFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

double percent(std::uint64_t part, std::uint64_t whole) {
  return whole > 0 ? 100.0 * static_cast<double>(part) / static_cast<double>(whole) : 0.0;
}

/// The element of `list` with the name of `wanted`, else `wanted` itself: a device that is new has not changed.
template <class Named>
const Named& sameName(const std::vector<Named>& list, const Named& wanted) {
  const auto found = std::find_if(list.begin(), list.end(), [&](const Named& e) { return e.name == wanted.name; });
  return found != list.end() ? *found : wanted;
}

class SystemReader : public qtforge::IPlugin {
 public:
  qtforge::expected<void> activate() override {
    readAll();  // what the first rates are measured against
    auto timer = qtforge::Timer::every(interval, [this] { tick(); });
    if (!timer) return timer.error();
    timer_ = std::move(*timer);
    return {};
  }

  qtforge::expected<void> deactivate() override {
    timer_.stop();
    return {};
  }

 private:
  using Readings = std::vector<std::pair<std::string, json::object>>;  // topic and payload; an empty one: no source

  void tick() {
    for (auto& [topic, payload] : readAll()) {
      if (!payload.empty()) {
        bus_.publish(topic, json::value(std::move(payload)));
      } else if (leftOut_.insert(topic).second) {
        log_.warning(topic + " is left out: this system does not offer what it is made from");
      }
    }
  }

  Readings readAll() {
    const auto now = Clock::now();
    const double seconds = std::chrono::duration<double>(now - readAt_).count();
    readAt_ = now;
    Readings readings;
    readings.emplace_back("system.cpu", readCpu());
    readings.emplace_back("system.memory", readMemory());
    readings.emplace_back("system.disks", readDisks(seconds));
    readings.emplace_back("system.network", readNetwork(seconds));
    readings.emplace_back("system.processes", readProcesses(now));
    return readings;
  }

  json::object readCpu() {
    auto cpus = monitor::parseStat(readFile("/proc/stat"));
    if (cpus.empty()) return {};
    json::array cores;
    for (std::size_t i = 1; i < cpus.size(); ++i)
      cores.push_back(monitor::busyPercent(sameName(cpus_, cpus[i]), cpus[i]));
    const double total = monitor::busyPercent(sameName(cpus_, cpus[0]), cpus[0]);
    cpus_ = std::move(cpus);
    return {{"total", total}, {"cores", std::move(cores)}};  // percent
  }

  static json::object readMemory() {
    const auto memory = monitor::parseMeminfo(readFile("/proc/meminfo"));
    if (!memory) return {};
    const auto used = memory->total - memory->available;
    return {{"total", memory->total},  // bytes
            {"used", used},
            {"percent", percent(used, memory->total)},
            {"swap_total", memory->swapTotal},
            {"swap_used", memory->swapTotal - memory->swapFree}};
  }

  json::object readDisks(double seconds) {
    json::array mounts;
    for (const auto& mount : monitor::parseMounts(readFile("/proc/self/mounts"))) {
      std::error_code ignored;
      struct statvfs space{};
      if (!std::filesystem::is_directory(mount.path, ignored)) continue;  // a file that a container mounts over another
      if (::statvfs(mount.path.c_str(), &space) != 0 || space.f_blocks == 0) continue;
      const std::uint64_t total = std::uint64_t{space.f_blocks} * space.f_frsize;
      const std::uint64_t used = std::uint64_t{space.f_blocks - space.f_bfree} * space.f_frsize;
      mounts.push_back(json::object{{"path", monitor::printable(mount.path)},
                                    {"device", monitor::printable(mount.device)},
                                    {"total", total},  // bytes
                                    {"used", used},
                                    {"percent", percent(used, total)}});
    }
    auto disks = monitor::parseDiskstats(readFile("/proc/diskstats"));
    if (mounts.empty() && disks.empty()) return {};
    json::array devices;
    for (const auto& disk : disks) {
      const auto& before = sameName(disks_, disk);
      devices.push_back(
          json::object{{"name", monitor::printable(disk.name)},  // bytes per second
                       {"read_per_s", monitor::perSecond(before.readBytes, disk.readBytes, seconds)},
                       {"written_per_s", monitor::perSecond(before.writtenBytes, disk.writtenBytes, seconds)}});
    }
    disks_ = std::move(disks);
    return {{"mounts", std::move(mounts)}, {"devices", std::move(devices)}};
  }

  json::object readNetwork(double seconds) {
    const auto text = readFile("/proc/net/dev");
    if (text.empty()) return {};
    auto interfaces = monitor::parseNetDev(text);  // may be none: a container without a network
    json::array list;
    double allReceived = 0, allSent = 0;
    for (const auto& interface : interfaces) {
      const auto& before = sameName(interfaces_, interface);
      const double received = monitor::perSecond(before.receivedBytes, interface.receivedBytes, seconds);
      const double sent = monitor::perSecond(before.sentBytes, interface.sentBytes, seconds);
      list.push_back(json::object{{"name", monitor::printable(interface.name)},  // bytes per second
                                  {"rx_per_s", received},
                                  {"tx_per_s", sent}});
      allReceived += received;
      allSent += sent;
    }
    interfaces_ = std::move(interfaces);
    return {{"rx_per_s", allReceived}, {"tx_per_s", allSent}, {"interfaces", std::move(list)}};
  }

  struct ProcessReading {
    Clock::time_point at;
    std::map<std::pair<std::int32_t, std::uint64_t>, std::uint64_t> ticks;  // by pid and start
  };

  json::object readProcesses(Clock::time_point now) {
    std::vector<monitor::ProcessTimes> processes;
    std::error_code error;
    for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
         entry.increment(error)) {
      const auto name = entry->path().filename().string();
      if (!monitor::toNumber<std::int32_t>(name)) continue;
      if (auto process = monitor::parseProcessStat(readFile("/proc/" + name + "/stat")))  // else it has just ended
        processes.push_back(std::move(*process));
    }
    if (processes.empty()) return {};

    ProcessReading reading{now, {}};
    for (const auto& process : processes) reading.ticks[{process.pid, process.started}] = process.ticks;
    if (processReadings_.size() > processWindow) processReadings_.pop_front();
    processReadings_.push_back(std::move(reading));
    const auto& before = processReadings_.front();
    const double seconds = std::chrono::duration<double>(now - before.at).count();
    const auto ticksPerSecond = static_cast<double>(::sysconf(_SC_CLK_TCK));
    const auto cpu = [&](const monitor::ProcessTimes& process) {
      const auto found = before.ticks.find({process.pid, process.started});
      const auto base = found != before.ticks.end() ? found->second : process.ticks;
      return 100 * monitor::perSecond(base, process.ticks, seconds) / ticksPerSecond;
    };

    const auto top = processes.begin() + static_cast<std::ptrdiff_t>(std::min(topProcesses, processes.size()));
    std::partial_sort(processes.begin(), top, processes.end(), [&](const auto& a, const auto& b) {
      const double left = cpu(a), right = cpu(b);
      return left != right ? left > right : a.residentPages > b.residentPages;
    });
    json::array list;
    for (auto process = processes.begin(); process != top; ++process) {
      list.push_back(json::object{{"pid", process->pid},
                                  {"name", monitor::printable(process->name)},
                                  {"cpu", cpu(*process)},  // percent of one CPU
                                  {"memory", process->residentPages * static_cast<std::uint64_t>(pageSize_)}});
    }
    return {{"count", processes.size()}, {"top", std::move(list)}};
  }

  qtforge::MessageBus& bus_ = qtforge::MessageBus::instance();
  qtforge::Logger log_{"system_reader"};
  const long pageSize_ = ::sysconf(_SC_PAGESIZE);

  // The reading before, which rates are measured against. Only activate() and then the timer's calls touch it.
  Clock::time_point readAt_{};
  std::vector<monitor::CpuTimes> cpus_;
  std::vector<monitor::DiskCounters> disks_;
  std::vector<monitor::InterfaceCounters> interfaces_;
  std::deque<ProcessReading> processReadings_;
  std::set<std::string> leftOut_;  // topics whose absence has been logged

  qtforge::Timer timer_;  // last: its end waits for a call that uses the rest
};

}  // namespace

QTFORGE_PLUGIN(SystemReader);
