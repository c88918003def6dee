#pragma once
// proc_parse.hpp: what the texts under /proc say (proc(5)), without reading a file: everything here is a pure function.
//
// A line that is not understood is skipped; a text without anything that is understood gives nothing.

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

// --- what the texts hold; counters count since boot ---------------------------------------------------------------

struct CpuTimes {
  std::string name;          ///< "cpu" for all together, "cpu0", "cpu1", ...
  std::uint64_t busy = 0;    ///< clock ticks
  std::uint64_t total = 0;   ///< clock ticks, idle ones included
};

struct Memory {
  std::uint64_t total = 0, available = 0, swapTotal = 0, swapFree = 0;  ///< bytes
};

struct Mount {
  std::string device, path, type;
};

struct DiskCounters {
  std::string name;
  std::uint64_t readBytes = 0, writtenBytes = 0;
};

struct InterfaceCounters {
  std::string name;
  std::uint64_t receivedBytes = 0, sentBytes = 0;
};

struct ProcessTimes {
  std::int32_t pid = 0;
  std::string name;
  std::uint64_t ticks = 0;      ///< clock ticks on a CPU, user and system
  std::uint64_t started = 0;    ///< clock ticks after boot: with the pid it names one process for good
  std::uint64_t residentPages = 0;
};

// --- words and numbers ---------------------------------------------------------------------------------------------

inline std::vector<std::string_view> splitWords(std::string_view line) {
  std::vector<std::string_view> words;
  for (std::size_t end = 0;;) {
    const auto begin = line.find_first_not_of(" \t", end);
    if (begin == std::string_view::npos) return words;
    end = std::min(line.find_first_of(" \t", begin), line.size());
    words.push_back(line.substr(begin, end - begin));
  }
}

template <class Use>
void forEachLine(std::string_view text, Use use) {
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    use(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

template <class Number>
std::optional<Number> toNumber(std::string_view word) {
  Number number{};
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
  return number;
}

/// The number in `words[index]`; 0 where there is none.
inline std::uint64_t numberAt(const std::vector<std::string_view>& words, std::size_t index) {
  return index < words.size() ? toNumber<std::uint64_t>(words[index]).value_or(0) : 0;
}

/// `text` with "?" for whatever is not printable ASCII: a process may call itself anything, escape sequences included.
inline std::string printable(std::string_view text) {
  std::string out(text);
  std::replace_if(out.begin(), out.end(), [](char c) { return c < 0x20 || c > 0x7e; }, '?');
  return out;
}

// --- one function per file -----------------------------------------------------------------------------------------

/// /proc/stat: all CPUs together first, then each one that is online.
inline std::vector<CpuTimes> parseStat(std::string_view text) {
  std::vector<CpuTimes> cpus;
  forEachLine(text, [&](std::string_view line) {
    if (!line.starts_with("cpu")) return;
    const auto words = splitWords(line);
    if (words.size() < 5) return;
    // user nice system idle iowait irq softirq steal; the guest times after them are in user and nice already
    CpuTimes times{.name = std::string(words[0])};
    for (std::size_t i = 1; i < std::min<std::size_t>(words.size(), 9); ++i) times.total += numberAt(words, i);
    times.busy = times.total - numberAt(words, 4) - numberAt(words, 5);
    cpus.push_back(std::move(times));
  });
  return cpus;
}

/// How busy a CPU was between two readings, 0 to 100. The kernel's counters may step back a little (iowait does).
inline double busyPercent(const CpuTimes& before, const CpuTimes& now) {
  const auto busy = static_cast<double>(now.busy) - static_cast<double>(before.busy);
  const auto total = static_cast<double>(now.total) - static_cast<double>(before.total);
  return total > 0 ? std::clamp(100 * busy / total, 0.0, 100.0) : 0.0;
}

/// /proc/meminfo. Kernels before 3.14 have no MemAvailable: MemFree stands in.
inline std::optional<Memory> parseMeminfo(std::string_view text) {
  Memory memory;
  std::uint64_t free = 0;
  std::optional<std::uint64_t> available;
  forEachLine(text, [&](std::string_view line) {
    const auto words = splitWords(line);
    if (words.size() < 2) return;
    const auto bytes = numberAt(words, 1) * 1024;  // all are in kB
    if (words[0] == "MemTotal:") memory.total = bytes;
    if (words[0] == "MemFree:") free = bytes;
    if (words[0] == "MemAvailable:") available = bytes;
    if (words[0] == "SwapTotal:") memory.swapTotal = bytes;
    if (words[0] == "SwapFree:") memory.swapFree = bytes;
  });
  if (memory.total == 0) return std::nullopt;
  memory.available = std::min(available.value_or(free), memory.total);
  memory.swapFree = std::min(memory.swapFree, memory.swapTotal);
  return memory;
}

/// Undoes /proc/mounts' escapes: a backslash and three octal digits for space, tab, newline and backslash.
inline std::string unescapeMount(std::string_view word) {
  const auto octal = [&](std::size_t i) { return word[i] >= '0' && word[i] <= '7'; };
  std::string out;
  for (std::size_t i = 0; i < word.size(); ++i) {
    if (word[i] == '\\' && i + 3 < word.size() && octal(i + 1) && octal(i + 2) && octal(i + 3)) {
      out += static_cast<char>((word[i + 1] - '0') * 64 + (word[i + 2] - '0') * 8 + (word[i + 3] - '0'));
      i += 3;
    } else {
      out += word[i];
    }
  }
  return out;
}

/// /proc/mounts: the file systems that hold data on this machine, each once, where it was mounted first. Left out are
/// the kernel's own, network ones (asking those may hang) and read-only images.
inline std::vector<Mount> parseMounts(std::string_view text) {
  std::vector<Mount> mounts;
  forEachLine(text, [&](std::string_view line) {
    const auto words = splitWords(line);
    if (words.size() < 3) return;
    Mount mount{unescapeMount(words[0]), unescapeMount(words[1]), std::string(words[2])};
    const bool image = mount.type == "squashfs" || mount.type == "iso9660";
    const bool local = mount.device.starts_with("/dev/") || mount.type == "overlay" || mount.type == "zfs";
    const bool known = std::any_of(mounts.begin(), mounts.end(),
                                   [&](const Mount& other) { return other.device == mount.device; });
    if (local && !image && !known) mounts.push_back(std::move(mount));
  });
  return mounts;
}

/// Whether the block device `name` is a partition of `disk`: sda1 of sda, nvme0n1p2 of nvme0n1; dm-10 is none of dm-1.
inline bool isPartitionOf(std::string_view name, std::string_view disk) {
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  if (disk.empty() || name.size() <= disk.size() || !name.starts_with(disk)) return false;
  auto rest = name.substr(disk.size());
  if (digit(disk.back())) {
    if (rest.front() != 'p') return false;
    rest.remove_prefix(1);
  }
  return !rest.empty() && std::all_of(rest.begin(), rest.end(), digit);
}

/// /proc/diskstats: whole disks; partitions, loop and RAM devices are left out.
inline std::vector<DiskCounters> parseDiskstats(std::string_view text) {
  constexpr std::uint64_t sector = 512;  // the unit of this file, whatever the disk's own is
  std::vector<DiskCounters> disks;
  forEachLine(text, [&](std::string_view line) {
    const auto words = splitWords(line);  // major minor name, reads merged sectors ms, writes merged sectors ms, ...
    if (words.size() < 11 || words[2].starts_with("loop") || words[2].starts_with("ram")) return;
    const bool partition = std::any_of(disks.begin(), disks.end(), [&](const DiskCounters& disk) {
      return isPartitionOf(words[2], disk.name);
    });
    if (!partition) disks.push_back({std::string(words[2]), numberAt(words, 5) * sector, numberAt(words, 9) * sector});
  });
  return disks;
}

/// /proc/net/dev: all interfaces but the loopback.
inline std::vector<InterfaceCounters> parseNetDev(std::string_view text) {
  std::vector<InterfaceCounters> interfaces;
  forEachLine(text, [&](std::string_view line) {
    const auto colon = line.rfind(':');  // a name may hold one ("eth0:1")
    if (colon == std::string_view::npos) return;
    const auto name = splitWords(line.substr(0, colon));
    const auto counters = splitWords(line.substr(colon + 1));
    if (name.size() != 1 || name[0] == "lo" || counters.size() < 9) return;
    interfaces.push_back({std::string(name[0]), numberAt(counters, 0), numberAt(counters, 8)});
  });
  return interfaces;
}

/// /proc/PID/stat. The name stands in parentheses and may itself hold spaces and parentheses.
inline std::optional<ProcessTimes> parseProcessStat(std::string_view text) {
  const auto open = text.find('('), close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) return std::nullopt;
  const auto before = splitWords(text.substr(0, open));
  const auto after = splitWords(text.substr(close + 1, text.find('\n', close) - close - 1));  // from field 3 on
  const auto pid = before.size() == 1 ? toNumber<std::int32_t>(before[0]) : std::nullopt;
  if (!pid || after.size() < 22) return std::nullopt;
  return ProcessTimes{.pid = *pid,
                      .name = std::string(text.substr(open + 1, close - open - 1)),
                      .ticks = numberAt(after, 11) + numberAt(after, 12),
                      .started = numberAt(after, 19),
                      .residentPages = numberAt(after, 21)};
}

/// Growth per second of a counter; 0 where it stepped back, as it does when its device was replaced.
inline double perSecond(std::uint64_t before, std::uint64_t now, double seconds) {
  return seconds > 0 && now > before ? static_cast<double>(now - before) / seconds : 0.0;
}

}  // namespace monitor
