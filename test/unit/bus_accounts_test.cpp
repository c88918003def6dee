// Many publishers and subscriptions at once: each subscription gets every publisher's messages in order, and of what was
// published nothing is missing in its counters, whatever its policy and capacity.

#include "sanitized.hpp"

#include <qtforge/host.hpp>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <latch>
#include <memory>
#include <random>
#include <thread>

using namespace qtforge;
namespace asio = boost::asio;
namespace json = boost::json;

namespace bus_accounts {

constexpr std::size_t publishers = 8;
constexpr std::int64_t each = test::sanitized ? 400 : 1500;  // messages of a publisher

constexpr std::array<const char*, 5> topics{"load.a", "load.b", "load.c", "shared.x", "shared.y"};
constexpr std::array<const char*, 8> patterns{"load.a", "load.b", "load.c", "load.*", "load.>", "*.a", "shared.x", "shared.*"};

constexpr bool inGroup(std::size_t subscription) { return std::string_view(patterns[subscription]).starts_with("shared"); }

constexpr std::array<OverflowPolicy, 5> policies{OverflowPolicy::Block, OverflowPolicy::DropOldest,
                                                 OverflowPolicy::DropNewest, OverflowPolicy::Fail, OverflowPolicy::Latest};
constexpr std::array<const char*, 5> policyNames{"Block", "DropOldest", "DropNewest", "Fail", "Latest"};

/// What a publisher says in a message.
struct Stamp {
  std::size_t publisher, topic;
  std::int64_t number;

  [[nodiscard]] json::value value() const {
    return static_cast<std::int64_t>(publisher) << 48 | static_cast<std::int64_t>(topic) << 40 | number;
  }
  static Stamp of(const json::value& value) {
    const auto bits = value.as_int64();
    return {static_cast<std::size_t>(bits >> 48), static_cast<std::size_t>(bits >> 40 & 0xFF), bits & 0xFF'FFFF'FFFF};
  }
};

/// What one subscription saw. Not atomic: its handler is never called twice at a time.
struct Seen {
  std::uint64_t count = 0, disordered = 0, foreign = 0;
  std::array<std::array<std::int64_t, topics.size()>, publishers> last{};

  // With Latest a message may overtake those of other topics.
  void take(const json::value& value, const char* pattern, bool perTopic) {
    const auto stamp = Stamp::of(value);
    ++count;
    foreign += !matches(pattern, topics[stamp.topic]);
    auto& last_ = last[stamp.publisher];
    const auto before = perTopic ? last_[stamp.topic] : *std::max_element(last_.begin(), last_.end());
    disordered += stamp.number <= before;
    last_[stamp.topic] = stamp.number;
  }
};

/// What the publishers were told, by topics that a group shares and others.
struct Told {
  std::array<std::uint64_t, topics.size()> sent{};
  std::uint64_t queued = 0, dropped = 0, called = 0, errors = 0;
  std::uint64_t groupTook = 0, groupRefused = 0, groupErrors = 0, unexpected = 0;

  void add(const Told& other) {
    for (std::size_t t = 0; t < topics.size(); ++t) sent[t] += other.sent[t];
    queued += other.queued, dropped += other.dropped, called += other.called, errors += other.errors;
    groupTook += other.groupTook, groupRefused += other.groupRefused, groupErrors += other.groupErrors;
    unexpected += other.unexpected;
  }
  [[nodiscard]] std::uint64_t total() const {
    std::uint64_t sum = 0;
    for (const auto n : sent) sum += n;
    return sum;
  }
  [[nodiscard]] std::uint64_t matching(const char* pattern) const {
    std::uint64_t sum = 0;
    for (std::size_t t = 0; t < topics.size(); ++t) sum += matches(pattern, topics[t]) ? sent[t] : 0;
    return sum;
  }
};

/// A bus whose handlers run on several threads.
struct BusyBus {
  BusyBus() {
    for (auto& thread : threads) thread = std::thread([this] { context.run(); });
  }
  BusyBus(const BusyBus&) = delete;
  BusyBus& operator=(const BusyBus&) = delete;
  ~BusyBus() {
    work.reset();
    for (auto& thread : threads) thread.join();
  }

  asio::io_context context;
  MessageBus bus{context.get_executor()};
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::array<std::thread, 2> threads;
};

void publishOne(const MessageBus& bus, const std::vector<Publisher>& handles, std::mt19937& random, Stamp stamp, Told& told) {
  const bool shared = std::string_view(topics[stamp.topic]).starts_with("shared");
  const bool byHandle = random() % 2 == 0;
  const auto sent = byHandle ? handles[stamp.topic].publish(stamp.value()) : bus.publish(topics[stamp.topic], stamp.value());
  ++told.sent[stamp.topic];
  if (!sent) {
    ++(sent.error() != Errc::Overflow ? told.unexpected : shared ? told.groupErrors : told.errors);
    return;
  }
  told.queued += sent->queued;
  told.dropped += sent->dropped;
  told.called += sent->called;
  if (shared) ++(sent->queued == 1 ? told.groupTook : told.groupRefused);
}

struct Asked {
  OverflowPolicy policy;
  std::size_t capacity;
};

using Subscribed = std::array<Asked, patterns.size()>;

/// One run: everybody publishes at once, then the books are compared. The two members of the group have one policy.
void check(const Subscribed& asked, std::uint32_t seed) {
  setLogSinks({});  // overflows are told
  BusyBus busy;
  const auto& bus = busy.bus;
  std::array<Seen, patterns.size()> seen;
  std::vector<Subscription> subscriptions;
  for (std::size_t s = 0; s < patterns.size(); ++s) {
    const bool perTopic = asked[s].policy == OverflowPolicy::Latest;
    subscriptions.push_back(bus.subscribe(patterns[s], [&mine = seen[s], s, perTopic](const json::value& value) {
      mine.take(value, patterns[s], perTopic);
    }, {.capacity = asked[s].capacity, .policy = asked[s].policy, .blockTimeout = std::chrono::seconds(60),
        .group = inGroup(s) ? "shared" : ""}).value());
  }

  std::array<Told, publishers> toldTo;
  std::vector<std::thread> threads;
  for (std::size_t p = 0; p < publishers; ++p)
    threads.emplace_back([&, p] {
      std::mt19937 random(seed + static_cast<std::uint32_t>(p));
      std::vector<Publisher> handles;
      for (const char* topic : topics) handles.push_back(bus.publisher(topic).value());
      for (std::int64_t n = 1; n <= each; ++n) publishOne(bus, handles, random, {p, random() % topics.size(), n}, toldTo[p]);
    });
  for (auto& thread : threads) thread.join();
  BOOST_TEST_REQUIRE(bus.drain(std::chrono::seconds(60)).has_value());

  Told told;
  for (const auto& one : toldTo) told.add(one);
  BOOST_TEST(told.total() == publishers * each);
  BOOST_TEST(told.called + told.unexpected == 0u);
  BOOST_TEST(bus.stats().at("published").as_uint64() == told.total());
  SubscriptionStats sum, members;  // of all, and of the group
  std::uint64_t enqueued = 0, failing = 0, failed = 0;
  for (std::size_t s = 0; s < patterns.size(); ++s) {
    BOOST_TEST_CONTEXT(patterns[s] << ", " << policyNames[static_cast<std::size_t>(asked[s].policy)] << ", capacity "
                                   << asked[s].capacity) {
      const auto stats = subscriptions[s].stats();
      const auto policy = asked[s].policy;
      BOOST_TEST(seen[s].disordered == 0u);
      BOOST_TEST(seen[s].foreign == 0u);
      BOOST_TEST(seen[s].count == stats.delivered);
      BOOST_TEST(stats.pending == 0u);
      BOOST_TEST(stats.failed + stats.mismatched == 0u);
      if (policy == OverflowPolicy::Block || asked[s].capacity >= publishers * each) BOOST_TEST(stats.dropped == 0u);
      if (policy != OverflowPolicy::Latest) BOOST_TEST(stats.replaced == 0u);
      if (!inGroup(s)) BOOST_TEST(stats.delivered + stats.dropped + stats.replaced == told.matching(patterns[s]));
      for (auto* total : {&sum, inGroup(s) ? &members : nullptr}) {
        if (!total) continue;
        total->delivered += stats.delivered;
        total->dropped += stats.dropped;
        total->replaced += stats.replaced;
      }
      // What went into the mailbox, and went on unhandled when another one took its place.
      enqueued += stats.delivered + stats.replaced;
      if (policy == OverflowPolicy::DropOldest || policy == OverflowPolicy::Latest) enqueued += stats.dropped;
      if (policy == OverflowPolicy::Fail) ++failing, failed += stats.dropped;
    }
  }

  // A message that a group lost was refused by each of its members that its topic matches.
  const auto shared = told.matching("shared.*");
  BOOST_TEST(told.groupTook + told.groupRefused + told.groupErrors == shared);
  BOOST_TEST((told.groupErrors == 0u || failing > 0));
  if (failing == 0) {
    BOOST_TEST(told.errors == 0u);
    BOOST_TEST(told.queued == enqueued);
    BOOST_TEST(told.dropped == sum.dropped);
  } else {
    // A publish that fails tells no counts.
    BOOST_TEST(told.queued <= enqueued);
    BOOST_TEST(told.dropped <= sum.dropped);
    if (failing == 1) BOOST_TEST(told.errors == failed);
    else BOOST_TEST(told.errors + told.groupErrors <= failed);
    if (failed == 0) BOOST_TEST(told.errors + told.groupErrors == 0u);
  }
  const bool evicts = asked[6].policy == OverflowPolicy::DropOldest || asked[6].policy == OverflowPolicy::Latest;
  const auto lost = evicts ? members.dropped : told.groupRefused + told.groupErrors;
  BOOST_TEST(members.delivered + members.replaced + lost == shared);
}

std::uint32_t chooseSeed() {
  const char* given = std::getenv("QTFORGE_TEST_SEED");
  return given ? static_cast<std::uint32_t>(std::strtoul(given, nullptr, 10)) : std::random_device{}();
}

}  // namespace bus_accounts

BOOST_AUTO_TEST_SUITE(bus_accounts)

BOOST_AUTO_TEST_CASE(each_policy_keeps_each_publishers_order_and_accounts_for_every_message) {
  const auto seed = chooseSeed();
  BOOST_TEST_CONTEXT("QTFORGE_TEST_SEED=" << seed) {
    for (const auto policy : policies)
      for (const std::size_t capacity : {std::size_t(4), std::size_t(65'536)}) {
        Subscribed asked;
        asked.fill({policy, capacity});
        check(asked, seed);
      }
  }
}

BOOST_AUTO_TEST_CASE(counters_miss_nothing_of_more_threads_than_they_have_lines) {
  constexpr std::uint64_t threads = 20, perThread = 2000;
  detail::ShardedCount count;
  std::latch ready(threads);
  std::vector<std::thread> all;
  for (std::uint64_t thread = 1; thread <= threads; ++thread)
    all.emplace_back([&, thread] {
      if (thread == 1) count.add(1, thread);  // alone, before the others come
      ready.arrive_and_wait();
      for (std::uint64_t i = 0; i < perThread; ++i) count.add(thread, thread);
    });
  for (auto& thread : all) thread.join();
  BOOST_TEST(count.sum() == 1 + perThread * threads * (threads + 1) / 2);
}

BOOST_AUTO_TEST_CASE(subscriptions_of_all_policies_side_by_side_do_not_disturb_each_other) {
  const auto seed = chooseSeed();
  BOOST_TEST_CONTEXT("QTFORGE_TEST_SEED=" << seed) {
    std::mt19937 random(seed);
    const auto capacity = [&] { return 1 + random() % 32; };
    for (std::uint32_t round = 0; round < 4; ++round) {
      Subscribed asked;
      for (std::size_t s = 0; s < policies.size(); ++s) asked[s] = {policies[s], capacity()};
      asked[5] = {OverflowPolicy::Latest, capacity()};
      std::shuffle(asked.begin(), asked.begin() + 6, random);
      asked[6] = asked[7] = {policies[round % 3], capacity()};
      check(asked, seed + round * 100);
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
