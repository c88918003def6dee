// The monitor's reading of /proc, with stored texts.

#include "../../samples/monitor/plugins/system_reader/proc_parse.hpp"

#include <boost/test/unit_test.hpp>

using namespace monitor;

namespace proc_parse {

CpuTimes cpu(std::uint64_t busy, std::uint64_t total) { return {"cpu", busy, total}; }

// A process as the kernel writes it: pid, name, state and what follows up to the resident pages.
std::string processStat(const std::string& name) {
  return "4242 (" + name + ") S 1 4242 4242 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 1 0 777 10000000 1234 " +
         "18446744073709551615 1 1 0 0 0 0 0\n";
}

}  // namespace proc_parse

BOOST_AUTO_TEST_SUITE(proc_parse)

BOOST_AUTO_TEST_CASE(parseStat_gives_all_cpus_together_then_each) {
  const auto cpus = parseStat(
      "cpu  100 10 50 800 40 5 15 0 7 3\n"
      "cpu0 60 5 30 400 20 2 8 0 7 3\n"
      "cpu1 40 5 20 400 20 3 7 0 0 0\n"
      "intr 12345 0 0\n"
      "ctxt 67890\n");
  BOOST_TEST_REQUIRE(cpus.size() == 3u);
  BOOST_TEST(cpus[0].name == "cpu");
  BOOST_TEST(cpus[0].total == 1020u);  // guest times are in user and nice already
  BOOST_TEST(cpus[0].busy == 180u);
  BOOST_TEST(cpus[2].name == "cpu1");
  BOOST_TEST(cpus[2].busy == 75u);
}

BOOST_AUTO_TEST_CASE(parseStat_takes_the_four_columns_of_old_kernels) {
  const auto cpus = parseStat("cpu 1 2 3 94");
  BOOST_TEST_REQUIRE(cpus.size() == 1u);
  BOOST_TEST(cpus[0].total == 100u);
  BOOST_TEST(cpus[0].busy == 6u);
}

BOOST_AUTO_TEST_CASE(parseStat_of_other_texts_gives_nothing) {
  BOOST_TEST(parseStat("").empty());
  BOOST_TEST(parseStat("cpu\ncpu0 1 2\n\n\n").empty());
  BOOST_TEST(parseStat("<html>").empty());
}

BOOST_AUTO_TEST_CASE(busyPercent_compares_two_readings) {
  BOOST_TEST(busyPercent(cpu(100, 1000), cpu(125, 1100)) == 25.0);
  BOOST_TEST(busyPercent(cpu(100, 1000), cpu(100, 1000)) == 0.0);
}

BOOST_AUTO_TEST_CASE(busyPercent_stays_in_0_to_100_when_counters_step_back) {
  BOOST_TEST(busyPercent(cpu(100, 1000), cpu(90, 1010)) == 0.0);
  BOOST_TEST(busyPercent(cpu(100, 1000), cpu(130, 1010)) == 100.0);
  BOOST_TEST(busyPercent(cpu(100, 1000), cpu(10, 20)) == 0.0);
}

BOOST_AUTO_TEST_CASE(parseMeminfo_gives_bytes) {
  const auto memory = parseMeminfo(
      "MemTotal:       16384 kB\nMemFree:         1024 kB\nMemAvailable:    8192 kB\n"
      "SwapTotal:       2048 kB\nSwapFree:        512 kB\nHugePages_Total:     0\n");
  BOOST_TEST_REQUIRE(memory.has_value());
  BOOST_TEST(memory->total == 16384u * 1024);
  BOOST_TEST(memory->available == 8192u * 1024);
  BOOST_TEST(memory->swapTotal == 2048u * 1024);
  BOOST_TEST(memory->swapFree == 512u * 1024);
}

BOOST_AUTO_TEST_CASE(parseMeminfo_without_MemAvailable_takes_MemFree) {
  const auto memory = parseMeminfo("MemTotal: 100 kB\nMemFree: 30 kB\n");
  BOOST_TEST_REQUIRE(memory.has_value());
  BOOST_TEST(memory->available == 30u * 1024);
}

BOOST_AUTO_TEST_CASE(parseMeminfo_never_has_more_available_than_there_is) {
  BOOST_TEST(parseMeminfo("MemTotal: 100 kB\nMemAvailable: 300 kB\n")->available == 100u * 1024);
}

BOOST_AUTO_TEST_CASE(parseMeminfo_without_MemTotal_gives_nothing) {
  BOOST_TEST(!parseMeminfo("").has_value());
  BOOST_TEST(!parseMeminfo("MemFree: 30 kB\n").has_value());
  BOOST_TEST(!parseMeminfo("MemTotal: many kB\n").has_value());
}

BOOST_AUTO_TEST_CASE(parseMounts_keeps_local_file_systems_once) {
  const auto mounts = parseMounts(
      "proc /proc proc rw 0 0\n"
      "overlay / overlay rw,lowerdir=/x 0 0\n"
      "/dev/sda1 /data ext4 rw 0 0\n"
      "/dev/sda1 /etc/hosts ext4 rw 0 0\n"
      "/dev/loop3 /snap/core/1 squashfs ro 0 0\n"
      "server:/export /mnt/far nfs4 rw 0 0\n"
      "tank/home /home zfs rw 0 0\n"
      "broken\n");
  BOOST_TEST_REQUIRE(mounts.size() == 3u);
  BOOST_TEST(mounts[0].path == "/");
  BOOST_TEST(mounts[1].path == "/data");
  BOOST_TEST(mounts[2].path == "/home");
}

BOOST_AUTO_TEST_CASE(parseMounts_undoes_the_escapes_of_paths) {
  BOOST_TEST(parseMounts("/dev/sdb1 /my\\040disk\\134 ext4 rw 0 0\n").at(0).path == "/my disk\\");
  BOOST_TEST(unescapeMount("ends\\04") == "ends\\04");
  BOOST_TEST(unescapeMount("\\999") == "\\999");
}

BOOST_AUTO_TEST_CASE(isPartitionOf_follows_the_kernels_names) {
  BOOST_TEST(isPartitionOf("sda1", "sda"));
  BOOST_TEST(isPartitionOf("nvme0n1p12", "nvme0n1"));
  BOOST_TEST(!isPartitionOf("dm-10", "dm-1"));
  BOOST_TEST(!isPartitionOf("sdab", "sda"));
  BOOST_TEST(!isPartitionOf("sda", "sda"));
  BOOST_TEST(!isPartitionOf("nvme0n1p", "nvme0n1"));
  BOOST_TEST(!isPartitionOf("sda1", ""));
}

BOOST_AUTO_TEST_CASE(parseDiskstats_gives_whole_disks_in_bytes) {
  const auto disks = parseDiskstats(
      "   8       0 sda 100 0 2000 30 50 0 4000 60 0 70 80 0 0 0 0\n"
      "   8       1 sda1 90 0 1900 30 40 0 3900 60 0 70 80 0 0 0 0\n"
      "   7       0 loop0 5 0 10 0 0 0 0 0 0 0 0\n"
      "   1       0 ram0 0 0 0 0 0 0 0 0 0 0 0\n"
      " 259       0 nvme0n1 1 0 8 0 1 0 16 0 0 0 0\n"
      "   8      16 sdb\n");
  BOOST_TEST_REQUIRE(disks.size() == 2u);
  BOOST_TEST(disks[0].name == "sda");
  BOOST_TEST(disks[0].readBytes == 2000u * 512);
  BOOST_TEST(disks[0].writtenBytes == 4000u * 512);
  BOOST_TEST(disks[1].name == "nvme0n1");
}

BOOST_AUTO_TEST_CASE(parseNetDev_leaves_the_loopback_out) {
  const auto interfaces = parseNetDev(
      "Inter-|   Receive                    |  Transmit\n"
      " face |bytes    packets errs drop fifo frame compressed multicast|bytes packets errs drop fifo colls\n"
      "    lo:    3193      29    0    0    0     0          0         0     3193      29    0    0    0     0\n"
      "  eth0:679414210   17047    0    0    0     0          0         0   910029   11219    0    0    0     0\n"
      "eth0:1:   5 1 0 0 0 0 0 0 7 1 0 0 0 0\n");
  BOOST_TEST_REQUIRE(interfaces.size() == 2u);
  BOOST_TEST(interfaces[0].name == "eth0");
  BOOST_TEST(interfaces[0].receivedBytes == 679414210u);
  BOOST_TEST(interfaces[0].sentBytes == 910029u);
  BOOST_TEST(interfaces[1].name == "eth0:1");
}

BOOST_AUTO_TEST_CASE(parseProcessStat_reads_times_start_and_memory) {
  const auto process = parseProcessStat(processStat("cc1plus"));
  BOOST_TEST_REQUIRE(process.has_value());
  BOOST_TEST(process->pid == 4242);
  BOOST_TEST(process->name == "cc1plus");
  BOOST_TEST(process->ticks == 300u);
  BOOST_TEST(process->started == 777u);
  BOOST_TEST(process->residentPages == 1234u);
}

BOOST_AUTO_TEST_CASE(parseProcessStat_takes_any_name) {
  for (const std::string name : {"a b", "(sd-pam)", ") R 1 (", "", "two\nlines"}) {
    const auto process = parseProcessStat(processStat(name));
    BOOST_TEST_REQUIRE(process.has_value(), name);
    BOOST_TEST(process->name == name);
    BOOST_TEST(process->started == 777u);
  }
}

BOOST_AUTO_TEST_CASE(parseProcessStat_of_other_texts_gives_nothing) {
  for (const char* text : {"", "4242", "4242 (x", "4242 x) S 1", ")(", "4242 (x) S 1 2 3\n", "pid (x) S 1 2 3\n"})
    BOOST_TEST(!parseProcessStat(text).has_value(), text);
  BOOST_TEST(!parseProcessStat("99999999999" + processStat("x").substr(4)).has_value());
}

BOOST_AUTO_TEST_CASE(perSecond_is_0_for_a_counter_that_stepped_back_or_no_time) {
  BOOST_TEST(perSecond(100, 300, 0.5) == 400.0);
  BOOST_TEST(perSecond(300, 100, 0.5) == 0.0);
  BOOST_TEST(perSecond(100, 300, 0.0) == 0.0);
}

BOOST_AUTO_TEST_CASE(printable_hides_what_a_terminal_would_obey) {
  BOOST_TEST(printable("a\x1b[31m\n\xff~ ") == "a?[31m??~ ");
}

BOOST_AUTO_TEST_SUITE_END()
