#pragma once
// qtforge/communication/detail/bus_stats.hpp: the counters of a bus as JSON.

#include <qtforge/communication/detail/bus_core.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

inline boost::json::object latencyJson(const LatencyHistogram& histogram) {
  return {{"samples", histogram.samples()},
          {"p50_us", static_cast<double>(histogram.quantile(0.5)) / 1000},
          {"p99_us", static_cast<double>(histogram.quantile(0.99)) / 1000}};
}

/// `{"published", "latency"?, "clients": [{"name", "sent", "delivered", "dropped", "mismatched", "failed", "latency"?}],
///   "subscriptions": [{"pattern", "owner", "delivery", "delivered", "dropped", "mismatched", "failed", "pending",
///     "replaced"}],
///   "topics": [{"topic", "published", "subscriptions"}]}`, the topics that are subscribed or published by their own name:
/// what was published to one since then, and how many subscriptions name it.
inline void BusCore::stats(boost::json::value& out) const {
  std::uint64_t published = 0;
  struct Row {
    Received received;
    LatencyHistogram latency;
  };
  std::map<const Client*, Row> rowOf;
  boost::json::array topics;
  {
    std::lock_guard lock(mutex_);
    for (const auto* client : clients_) client->sumEnded(rowOf[client].received, rowOf[client].latency);
    index_.forEachTopic([&](const TopicEntry& entry) {
      topics.push_back(
          {{"topic", entry.name}, {"published", entry.published.sum()}, {"subscriptions", entry.exact.size()}});
    });
  }
  boost::json::array subscriptions;
  for (auto* subscription : list([](const SubscriptionCore&) { return true; })) {
    SubscriptionCounters c{};
    subscription->counters(c);
    auto& [sum, latencies] = rowOf[&subscription->client()];
    sum.delivered += c.delivered;
    sum.dropped += c.dropped;
    sum.mismatched += c.mismatched;
    sum.failed += c.failed;
    if (const auto* latency = subscription->latency()) latency->addTo(latencies);
    subscriptions.push_back({{"pattern", subscription->pattern},
                             {"owner", subscription->client().name()},
                             {"delivery", subscription->delivery == DeliveryMode::Queued ? "queued" : "direct"},
                             {"delivered", c.delivered},
                             {"dropped", c.dropped},
                             {"mismatched", c.mismatched},
                             {"failed", c.failed},
                             {"pending", c.pending},
                             {"replaced", c.replaced}});
    subscription->release();
  }
  boost::json::array rows;
  LatencyHistogram all;
  for (const auto& [client, row] : rowOf) {
    const auto& sum = row.received;
    const auto sent = client->sent.sum();
    published += sent;
    boost::json::object json{{"name", client->name()},       {"sent", sent},
                             {"delivered", sum.delivered},   {"dropped", sum.dropped},
                            {"mismatched", sum.mismatched}, {"failed", sum.failed}};
    if (row.latency.samples() > 0) json["latency"] = latencyJson(row.latency);
    row.latency.addTo(all);
    rows.push_back(std::move(json));
  }
  boost::json::object figures{{"published", published},
                              {"clients", std::move(rows)},
                              {"subscriptions", std::move(subscriptions)},
                              {"topics", std::move(topics)}};
  if (all.samples() > 0) figures["latency"] = latencyJson(all);
  out = std::move(figures);
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
