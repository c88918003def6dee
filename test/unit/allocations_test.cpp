// What the bus allocates, and what not. A program of its own, since it replaces operator new.

#define BOOST_TEST_MODULE allocations
#include "manual_bus.hpp"

#include <qtforge/host.hpp>

#include <boost/describe.hpp>
#include <boost/test/unit_test.hpp>

#include <malloc.h>

#include <atomic>
#include <charconv>
#include <cstdlib>
#include <new>
#include <thread>

namespace {

thread_local std::uint64_t allocations = 0;  // of this thread
std::atomic<std::int64_t> liveBytes{0};      // of all

void* counted(void* memory) {
  if (!memory) throw std::bad_alloc();
  ++allocations;
  liveBytes.fetch_add(static_cast<std::int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
  return memory;
}

void released(void* memory) noexcept {
  liveBytes.fetch_sub(static_cast<std::int64_t>(malloc_usable_size(memory)), std::memory_order_relaxed);
  std::free(memory);
}

}  // namespace

// The other forms call these.
void* operator new(std::size_t size) { return counted(std::malloc(size ? size : 1)); }
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(memalign(static_cast<std::size_t>(alignment), size));
}
void operator delete(void* memory) noexcept { released(memory); }
void operator delete(void* memory, std::size_t) noexcept { released(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { released(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { released(memory); }

// Asio's, for what is posted from outside.
extern "C" void* aligned_alloc(std::size_t alignment, std::size_t size) noexcept {
  ++allocations;
  return memalign(alignment, size);
}

using namespace qtforge;
using test::ManualBus;
namespace json = boost::json;

namespace {

/// How often this thread allocates during `f`.
template <class F>
std::uint64_t allocationsOf(F&& f) {
  const auto before = allocations;
  f();
  return allocations - before;
}

struct Position {
  double x, y, z;
};
BOOST_DESCRIBE_STRUCT(Position, (), (x, y, z))

constexpr int batch = 300;  // messages, more than one turn takes at first

constexpr DeliveryMode direct = DeliveryMode::Direct;

}  // namespace

BOOST_AUTO_TEST_SUITE(allocating)

BOOST_AUTO_TEST_CASE(a_message_costs_one_allocation_or_takes_memory_of_a_dead_one_however_many_queues_it_goes_to) {
  for (const auto policy : {OverflowPolicy::Block, OverflowPolicy::DropOldest, OverflowPolicy::Latest})
    for (const std::size_t subscribers : {1, 2, 10, 100}) {
      BOOST_TEST_CONTEXT(subscribers << " subscribers, policy " << static_cast<int>(policy)) {
        ManualBus m;
        std::vector<Subscription> all;
        for (std::size_t i = 0; i < subscribers; ++i)
          all.push_back(m.bus.subscribe(i % 2 ? "a.*" : "a.b", [](const json::value&) {}, {.policy = policy}).value());
        const auto publisher = m.bus.publisher("a.b").value();
        const auto publish = [&] {
          for (int i = 0; i < batch; ++i) (void)publisher.publish(json::value("text"));
        };
        for (int warm = 0; warm < 3; ++warm) {
          for (int i = 0; i < 5; ++i) publish();
          m.runHandlers();
        }
        (void)publisher.publish(json::value("text"));
        int reused = 0;
        while (allocationsOf([&] { (void)publisher.publish(json::value("text")); }) == 0) ++reused;
        BOOST_TEST(reused <= 1024);
        BOOST_TEST(allocationsOf(publish) == std::uint64_t(batch));
        m.runHandlers();
      }
    }
}

BOOST_AUTO_TEST_CASE(messages_of_numbers_or_plain_structs_share_blocks_that_are_used_again) {
  constexpr std::uint64_t inBlock = 20;  // and more
  for (const std::size_t subscribers : {1, 2, 5}) {
    BOOST_TEST_CONTEXT(subscribers << " subscribers") {
      ManualBus m;
      std::vector<Subscription> all;
      for (std::size_t i = 0; i < subscribers; ++i) {
        all.push_back(m.bus.subscribe(i % 2 ? "n.*" : "n.a", [](const json::value&) {}).value());
        all.push_back(m.bus.subscribe(i % 2 ? "s.*" : "s.a", [](const Position&) {}).value());
      }
      const auto publish = [&](int count) {
        for (int i = 0; i < count; ++i) {
          (void)m.bus.publish("n.a", json::value(i));
          (void)m.bus.publish("s.a", Position{1, 2, 3});
        }
      };
      for (int warm = 0; warm < 2; ++warm) {
        publish(2 * batch);
        m.runHandlers();
      }
      const auto before = liveBytes.load();
      for (int round = 0; round < 100; ++round) {
        BOOST_TEST(allocationsOf([&] { publish(20); }) == 0u);
        m.runHandlers();
      }
      BOOST_TEST(liveBytes.load() == before);
      BOOST_TEST(allocationsOf([&] { publish(20 * batch); }) <= 2 * 20 * batch / inBlock + 2 * subscribers * 10);  // and longer queues
      m.runHandlers();
    }
  }
}

BOOST_AUTO_TEST_CASE(what_is_built_in_messages_takes_one_allocation_or_none) {
  ManualBus m;
  std::vector<Subscription> all;
  for (int i = 0; i < 3; ++i) all.push_back(m.bus.subscribe("a", [](const json::value&) {}).value());
  const auto build = [&](std::size_t textSize) {
    (void)m.bus.build("a", [&](json::value& out) {
      auto& object = out.emplace_object();
      object["text"].emplace_string().append(textSize, 'x');
      object["n"] = 1;
      object["list"].emplace_array().resize(10);
    });
  };
  for (const std::size_t textSize : {20, 2000, 50'000})
    BOOST_TEST_CONTEXT("text of " << textSize) {
      for (int warm = 0; warm < 20; ++warm) {
        build(textSize);
        m.runHandlers();
      }
      const auto before = liveBytes.load();
      for (int i = 0; i < 100; ++i) {
        BOOST_TEST(allocationsOf([&] { build(textSize); }) == (textSize < 1000 ? 0u : 1u));
        m.runHandlers();
      }
      BOOST_TEST(liveBytes.load() == before);
    }
}

BOOST_AUTO_TEST_CASE(threads_that_end_leave_no_memory_for_messages) {
  ManualBus m;
  const auto s = m.bus.subscribe("a", [](const json::value&) {}).value();
  const auto publishFromThreads = [&] {
    std::vector<std::thread> threads;
    for (int t = 0; t < 20; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < batch; ++i) {
          (void)m.bus.publish("a", json::value(i));
          (void)m.bus.publish("a", json::value("text"));
        }
      });
    for (auto& thread : threads) thread.join();
    m.runHandlers();
  };
  publishFromThreads();
  const auto before = liveBytes.load();
  for (int round = 0; round < 3; ++round) {
    publishFromThreads();
    BOOST_TEST(liveBytes.load() < before + 30'000);  // records of threads, if more ran at once
  }
}

BOOST_AUTO_TEST_CASE(to_wake_idle_queues_allocates_nothing) {
  ManualBus m;
  constexpr std::size_t subscribers = 10;
  std::vector<Subscription> all;
  for (std::size_t i = 0; i < subscribers; ++i) all.push_back(m.bus.subscribe("a", [](const json::value&) {}).value());
  const auto publish = [&] { (void)m.bus.publish("a", json::value(1)); };
  publish();
  m.runHandlers();
  BOOST_TEST(allocationsOf(publish) == 0u);
  m.runHandlers();
}

BOOST_AUTO_TEST_CASE(queues_that_have_been_as_long_before_allocate_nothing_where_messages_are_handled) {
  for (const auto policy : {OverflowPolicy::Block, OverflowPolicy::DropOldest, OverflowPolicy::DropNewest, OverflowPolicy::Fail,
                            OverflowPolicy::Latest})
    BOOST_TEST_CONTEXT("policy " << static_cast<int>(policy)) {
      ManualBus m;
      std::uint64_t handled = 0;
      const auto s = m.bus.subscribe("a.*", [&](const json::value&) { ++handled; }, {.policy = policy}).value();
      const char* topics[] = {"a.x", "a.y", "a.z"};
      const auto publish = [&] {
        for (int i = 0; i < batch; ++i) (void)m.bus.publish(topics[i % 3], json::value(i));
      };
      for (int warm = 0; warm < 3; ++warm) {
        publish();
        m.runHandlers();
      }
      publish();
      BOOST_TEST(allocationsOf([&] { m.context.restart(), m.context.poll(); }) == 0u);
      BOOST_TEST(handled > 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_full_queue_that_drops_allocates_for_the_message_alone) {
  for (const auto policy : {OverflowPolicy::DropOldest, OverflowPolicy::DropNewest})
    BOOST_TEST_CONTEXT("policy " << static_cast<int>(policy)) {
      ManualBus m;
      setLogSinks({});
      const auto s = m.bus.subscribe("a", [](const json::value&) {}, {.capacity = 16, .policy = policy}).value();
      const auto publish = [&] {
        for (int i = 0; i < batch; ++i) (void)m.bus.publish("a", json::value("text"));
      };
      publish();
      BOOST_TEST(allocationsOf(publish) == std::uint64_t(batch));
      BOOST_TEST(s.stats().dropped == 2 * batch - 16u);
    }
}

BOOST_AUTO_TEST_CASE(rvalues_are_adopted_the_receiver_gets_the_same_storage) {
  ManualBus m;
  const void* seen = nullptr;
  const auto note = [&](const json::value& value) {
    seen = value.is_object()  ? static_cast<const void*>(value.get_object().begin())
           : value.is_array() ? static_cast<const void*>(value.get_array().data())
                              : static_cast<const void*>(value.get_string().data());
  };
  const auto queued = m.bus.subscribe("a", note).value();
  const auto expectAdopted = [&](auto value, const void* storage) {
    (void)m.bus.publish("a", std::move(value));
    m.runHandlers();
    BOOST_TEST(seen == storage);
  };
  json::value object{{"n", 1}, {"name", "a text that is longer than the small string buffer"}};
  const void* storage = object.get_object().begin();
  expectAdopted(std::move(object), storage);
  json::value array(json::array{1, 2, 3, 4});
  storage = array.get_array().data();
  expectAdopted(std::move(array), storage);
  json::object alone{{"n", 1}};
  storage = alone.begin();
  expectAdopted(std::move(alone), storage);
  json::array numbers{1, 2, 3, 4};
  storage = numbers.data();
  expectAdopted(std::move(numbers), storage);
  json::string text(100, 'x');
  storage = text.data();
  expectAdopted(std::move(text), storage);
}

BOOST_AUTO_TEST_CASE(bytes_are_shared_by_all_who_get_them) {
  ManualBus m;
  std::vector<const void*> seen;
  std::vector<Subscription> all;
  for (int i = 0; i < 3; ++i)
    all.push_back(m.bus.subscribe("a", [&](const BinaryMessage& binary) { seen.push_back(binary.data.data()); }).value());
  BinaryMessage image;
  image.data = Buffer(std::vector<std::uint8_t>(1000, 7));
  const void* storage = image.data.data();
  (void)m.bus.publish("a", image);
  m.runHandlers();
  BOOST_TEST((seen == std::vector<const void*>{storage, storage, storage}));
}

BOOST_AUTO_TEST_CASE(direct_handlers_of_the_payload_need_no_message) {
  ManualBus m;
  std::uint64_t calls = 0;
  const auto s1 = m.bus.subscribe("a.b", [&](const json::value&) { ++calls; }, {.delivery = direct}).value();
  const auto s2 = m.bus.subscribe("a.*", [&](const json::value&) { ++calls; }, {.delivery = direct}).value();
  const auto s3 = m.bus.subscribe("n", [&](int) { ++calls; }, {.delivery = direct}).value();
  const auto s4 = m.bus.subscribe("binary", [&](const BinaryMessage&) { ++calls; }, {.delivery = direct}).value();
  const json::value object{{"n", 1}, {"name", "sensor"}};
  const BinaryMessage binary;
  const auto publisher = m.bus.publisher("a.b").value();
  const auto publish = [&] {
    (void)m.bus.publish("a.b", object);
    (void)m.bus.publish("a.c", object);
    (void)publisher.publish(object);
    (void)m.bus.publish("n", 4);
    (void)m.bus.publish("binary", binary);
  };
  publish();
  calls = 0;
  BOOST_TEST(allocationsOf(publish) == 0u);
  BOOST_TEST(calls == 7u);
}

BOOST_AUTO_TEST_CASE(direct_handlers_that_want_the_message_share_one) {
  for (const std::size_t subscribers : {1, 10}) {
    ManualBus m;
    std::vector<Subscription> all;
    for (std::size_t i = 0; i < subscribers; ++i)
      all.push_back(m.bus.subscribe("a", [](const Message&) {}, {.delivery = direct}).value());
    const json::value text("text");
    const auto publish = [&] { (void)m.bus.publish("a", text); };
    publish();
    BOOST_TEST(allocationsOf(publish) == 1u);
  }
}

BOOST_AUTO_TEST_CASE(topics_that_nobody_uses_leave_the_heap_as_it_was) {
  constexpr int topics = 1'000'000;
  ManualBus m;
  const auto s1 = m.bus.subscribe("used", [](const json::value&) {}).value();
  const auto s2 = m.bus.subscribe("sensors.*.used", [](const json::value&) {}).value();
  const json::value payload{{"n", 1}, {"name", "sensor"}};
  char topic[64] = "sensors.t";
  char* const digits = topic + 9;
  const auto publishAll = [&] {
    for (int i = 0; i < topics; ++i) {
      const auto end = std::to_chars(digits, topic + sizeof topic, i).ptr;
      (void)m.bus.publish(std::string_view(topic, static_cast<std::size_t>(end - topic)), payload);
    }
  };
  (void)m.bus.publish("sensors.t0", payload);
  const auto before = liveBytes.load();
  BOOST_TEST(allocationsOf(publishAll) == 0u);
  BOOST_TEST(liveBytes.load() == before);
}

BOOST_AUTO_TEST_CASE(what_was_subscribed_and_ended_leaves_the_heap_as_it_was) {
  ManualBus m;
  const json::value payload(1);
  const auto comeAndGo = [&] {
    for (int i = 0; i < 1000; ++i) {
      const auto name = std::to_string(i);
      const auto exact = m.bus.subscribe("exact." + name, [](const json::value&) {}).value();
      const auto wild = m.bus.subscribe("wild." + name + ".*", [](const json::value&) {}).value();
      const auto publisher = m.bus.publisher("exact." + name).value();
      (void)publisher.publish(payload);
    }
    m.runHandlers();
  };
  comeAndGo();
  const auto before = liveBytes.load();
  comeAndGo();
  BOOST_TEST(liveBytes.load() == before);
}

BOOST_AUTO_TEST_SUITE_END()
