// test/unit/message_record_test.cpp: messages are freed by who made them while they come thick, else at once.

#include <qtforge/communication/detail/message_record.hpp>

#include <boost/test/unit_test.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

using namespace qtforge;
using namespace qtforge::detail;

namespace message_record {

int freed = 0;

/// Tells of its end.
struct Witness {
  Witness() = default;
  Witness(const Witness&) = delete;
  Witness& operator=(const Witness&) = delete;
  ~Witness() { ++freed; }
};

// A payload of a type that claims to be only memory, so that its end is seen.
const PayloadType witnessed{0,    std::string_view("Witness"), sizeof(Witness), alignof(Witness),
                            true, nullptr, [](void* object) { std::destroy_at(static_cast<Witness*>(object)); },
                            nullptr, nullptr};

Message made(ThreadRecord& maker) {
  auto* record = makeRecord({"a.topic", true, false, sizeof(Witness), alignof(Witness)}, maker);
  new (const_cast<void*>(record->payload)) Witness();
  record->kind = PayloadKind::Typed;
  record->extras->type = &witnessed;
  return Message::adopt(record);
}

Message madeOf(ThreadRecord& maker, std::string_view topic) {
  auto* record = makeRecord({topic}, maker);
  new (const_cast<void*>(record->payload)) boost::json::value({{"n", 1}});
  record->kind = PayloadKind::Json;
  return Message::adopt(record);
}

Message numbered(ThreadRecord& maker, int number, std::string_view topic = "a.topic") {
  auto* record = makeRecord({topic, false, true}, maker);
  new (const_cast<void*>(record->payload)) boost::json::value(number);
  record->kind = PayloadKind::Json;
  return Message::adopt(record);
}

/// How many such messages one block takes.
std::size_t fillBlock(ThreadRecord& maker, std::vector<Message>& out) {
  out.push_back(numbered(maker, 0));
  const auto* first = &MessageBlock::of(out.back().record());
  for (int i = 1;; ++i) {
    auto next = numbered(maker, i);
    if (&MessageBlock::of(next.record()) != first) return out.size();
    out.push_back(std::move(next));
  }
}

struct Fresh {
  Fresh() {
    freed = 0;
    maker.used = true;
  }
  ~Fresh() {
    for (auto* thread : {&maker, &consumer}) freeSpare(*thread);
  }
  ThreadRecord maker, consumer;
};

}  // namespace message_record

BOOST_FIXTURE_TEST_SUITE(message_record, Fresh)

BOOST_AUTO_TEST_CASE(what_one_thread_made_and_another_handled_is_left_to_the_first) {
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 8; ++i) home.add(made(maker));
  }
  BOOST_TEST(freed == 0);
  BOOST_TEST(maker.returned.load() != nullptr);
  freeReturned(maker);
  BOOST_TEST(freed == 8);
  BOOST_TEST(maker.returned.load() == nullptr);
}

BOOST_AUTO_TEST_CASE(single_messages_are_freed_at_once) {
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 7; ++i) home.add(made(maker));
    BOOST_TEST(freed == 0);
  }
  BOOST_TEST(freed == 7);
  BOOST_TEST(maker.returned.load() == nullptr);
}

BOOST_AUTO_TEST_CASE(each_maker_gets_its_own) {
  ThreadRecord other;
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 4; ++i) {
      home.add(made(maker));
      home.add(made(other));
    }
    home.add(made(other));
  }
  freeReturned(maker);
  BOOST_TEST(freed == 4);
  freeReturned(other);
  BOOST_TEST(freed == 9);
}

BOOST_AUTO_TEST_CASE(a_thread_frees_its_own_messages_at_once) {
  ReturnMessages home(consumer);
  home.add(made(consumer));
  BOOST_TEST(freed == 1);
}

BOOST_AUTO_TEST_CASE(a_message_that_somebody_keeps_lives_on) {
  auto kept = made(maker);
  {
    ReturnMessages home(consumer);
    home.add(kept);
  }
  freeReturned(maker);
  BOOST_TEST(freed == 0);
  BOOST_TEST(kept.topic() == "a.topic");
}

BOOST_AUTO_TEST_CASE(the_memory_of_dead_messages_is_that_of_the_next_ones) {
  std::vector<const void*> places;
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 8; ++i) {
      auto message = madeOf(maker, "a.topic");
      places.push_back(message.record());
      home.add(std::move(message));
    }
  }
  takeReturned(maker);
  std::vector<Message> next;
  for (int i = 0; i < 8; ++i) {
    next.push_back(madeOf(maker, "another"));
    BOOST_TEST((std::find(places.begin(), places.end(), next.back().record()) != places.end()));
    BOOST_TEST(next.back().topic() == "another");
    BOOST_TEST(next.back().json()->at("n").as_int64() == 1);
  }
  BOOST_TEST(maker.spareCount == 0u);
}

BOOST_AUTO_TEST_CASE(a_message_of_another_size_gets_memory_of_its_own) {
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 8; ++i) home.add(madeOf(maker, "short"));
  }
  takeReturned(maker);
  const std::string name(200, 'x');
  BOOST_TEST(madeOf(maker, name).topic() == name);
  BOOST_TEST(maker.spareCount == 7u);
}

BOOST_AUTO_TEST_CASE(a_block_is_used_again_when_all_messages_in_it_are_dead) {
  std::vector<Message> first;
  const auto inBlock = fillBlock(maker, first);
  BOOST_TEST(inBlock > 20u);
  for (std::size_t i = 0; i < inBlock; ++i) BOOST_TEST(first[i].json()->as_int64() == static_cast<int>(i));
  const auto* block = &MessageBlock::of(first[0].record());
  const Message kept = first[7];
  first.clear();
  std::vector<Message> second, third;
  fillBlock(maker, second);
  BOOST_TEST((&MessageBlock::of(second[0].record()) != block));
  BOOST_TEST(kept.json()->as_int64() == 7);
  {
    ReturnMessages home(consumer);
    home.add(kept);
    for (auto& message : second) home.add(std::move(message));
  }
  second.clear();
  fillBlock(maker, third);
  BOOST_TEST((&MessageBlock::of(third[0].record()) != block));
}

BOOST_AUTO_TEST_CASE(a_message_that_is_too_large_for_a_block_has_memory_of_its_own) {
  const std::string name(255, 'x');
  BOOST_TEST(numbered(maker, 1, name).record()->inBlock);
  auto* large = makeRecord({name, false, true, 2000, 8}, maker);
  BOOST_TEST(!large->inBlock);
  destroyRecord(large);
}

BOOST_AUTO_TEST_CASE(no_more_blocks_are_kept_than_some_dozens) {
  std::vector<Message> all;
  for (int block = 0; block < 100; ++block) fillBlock(maker, all);
  all.clear();
  BOOST_TEST(MessageBlock::freeSpare(maker) <= 34u);
}

BOOST_AUTO_TEST_CASE(a_buffer_is_let_go_by_who_read_it_last) {
  struct Held {
    Witness* witness = new Witness();
    Held() = default;
    Held(Held&& other) noexcept : witness(std::exchange(other.witness, nullptr)) {}
    ~Held() { delete witness; }
  };
  auto* binary = makeRecord({"a.topic", false, false, sizeof(BinaryMessage), alignof(BinaryMessage)}, maker);
  (new (const_cast<void*>(binary->payload)) BinaryMessage())->data = Buffer::of({}, Held());
  binary->kind = PayloadKind::Binary;
  auto attached = made(maker);
  attached.record()->extras->attachments.push_back({"/n", {}});
  ReturnMessages home(consumer);
  home.add(Message::adopt(binary));
  home.add(std::move(attached));
  BOOST_TEST(freed == 2);
}

BOOST_AUTO_TEST_CASE(a_thread_that_fetches_nothing_is_left_no_more_than_a_turn_of_messages) {
  for (int batch = 0; batch < 100; ++batch) {
    ReturnMessages home(consumer);
    for (int i = 0; i < 64; ++i) home.add(made(maker));
  }
  BOOST_TEST(freed == 100 * 64 - 1024);
  freeReturned(maker);
  BOOST_TEST(freed == 100 * 64);
}

BOOST_AUTO_TEST_SUITE_END()
