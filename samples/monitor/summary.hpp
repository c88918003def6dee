#pragma once
// summary.hpp: what the run was like, as a table for people and as JSON for programs.

#include <qtforge/utils/error.hpp>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

#include <algorithm>
#include <cstdint>
#include <iomanip>
#include <map>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace monitor {

/// What went wrong, counted by plugin and step; of each the first message is kept.
class Failures {
 public:
  void add(const std::string& plugin, const std::string& step, const std::string& message, std::uint64_t count = 1) {
    auto& entry = entries_.try_emplace({plugin, step}, Entry{0, message}).first->second;
    entry.count += count;
  }

  [[nodiscard]] boost::json::array toJson() const {
    boost::json::array all;
    for (const auto& [key, entry] : entries_)
      all.push_back(boost::json::object{
          {"plugin", key.first}, {"step", key.second}, {"count", entry.count}, {"message", entry.message}});
    return all;
  }

 private:
  struct Entry {
    std::uint64_t count;
    std::string message;
  };
  std::map<std::pair<std::string, std::string>, Entry> entries_;  // by plugin and step
};

inline constexpr const char* figures[] = {"sent", "delivered", "dropped", "mismatched", "failed"};

inline std::uint64_t figure(const boost::json::object& of, std::string_view name) {
  const auto* value = of.if_contains(name);
  return value && value->is_number() ? value->to_number<std::uint64_t>() : 0;
}

/// The summary as JSON.
///
/// @param stats    MessageBus::stats()
/// @param plugins  their names in the order of the table; who else sends or receives comes after them
/// @param seconds  how long it ran
/// @param endedBy  "time", "SIGINT" or "SIGTERM"
inline boost::json::object summarize(const boost::json::value& stats, const std::vector<std::string>& plugins,
                                     Failures failures, double seconds, std::string_view endedBy) {
  std::vector<boost::json::object> clients;
  for (const auto& client : stats.at("clients").as_array()) clients.push_back(client.as_object());
  const auto place = [&](const boost::json::object& client) {
    return std::find(plugins.begin(), plugins.end(), std::string_view(client.at("name").as_string()));
  };
  std::stable_sort(clients.begin(), clients.end(),
                   [&](const auto& a, const auto& b) { return place(a) < place(b); });

  boost::json::object total;
  for (const char* name : figures) {
    std::uint64_t sum = 0;
    for (const auto& client : clients) sum += figure(client, name);
    total[name] = sum;
  }
  if (const auto* latency = stats.as_object().if_contains("latency")) total["latency"] = *latency;
  for (const auto& client : clients) {
    if (const auto failed = figure(client, "failed"); failed > 0)
      failures.add(std::string(std::string_view(client.at("name").as_string())), "handler",
                   "a handler threw: see the log", failed);
  }
  return {{"seconds", seconds},
          {"ended_by", endedBy},
          {"published", stats.at("published")},
          {"clients", boost::json::array(clients.begin(), clients.end())},
          {"total", std::move(total)},
          {"errors", failures.toJson()}};
}

/// One line of the table: figures to the right, "-" where there are none.
inline void printRow(std::ostream& out, std::string_view name, const boost::json::object& row) {
  out << std::left << std::setw(16) << name << std::right;
  for (const char* column : figures) out << std::setw(11) << figure(row, column);
  const auto* latency = row.if_contains("latency");
  for (const char* quantile : {"p50_us", "p99_us"}) {
    const auto* value = latency && latency->is_object() ? latency->get_object().if_contains(quantile) : nullptr;
    if (value) out << std::setw(11) << value->to_number<double>();
    else out << std::setw(11) << "-";
  }
  out << '\n';
}

inline void print(std::ostream& out, const boost::json::object& summary) {
  out << std::fixed << std::setprecision(1) << "\nran " << summary.at("seconds").to_number<double>() << " s, ended by "
      << std::string_view(summary.at("ended_by").as_string()) << "\n\n"
      << std::left << std::setw(16) << "messages" << std::right;
  for (const char* column : figures) out << std::setw(11) << column;
  out << std::setw(11) << "p50 us" << std::setw(11) << "p99 us" << '\n';
  for (const auto& client : summary.at("clients").as_array())
    printRow(out, client.at("name").as_string(), client.as_object());
  printRow(out, "total", summary.at("total").as_object());

  const auto& errors = summary.at("errors").as_array();
  if (!errors.empty()) out << "\nerrors\n";
  for (const auto& error : errors) {
    const std::string_view message = error.at("message").as_string();
    out << "  " << std::left << std::setw(16) << std::string_view(error.at("plugin").as_string()) << std::setw(12)
        << std::string_view(error.at("step").as_string()) << std::right << std::setw(6)
        << error.at("count").to_number<std::uint64_t>() << "  " << message.substr(0, message.find('\n')) << '\n';
  }
  out.flush();
}

}  // namespace monitor
