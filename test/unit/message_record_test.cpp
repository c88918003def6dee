// test/unit/message_record_test.cpp: messages are freed by who made them while they come thick, else at once.

#include <qtforge/communication/detail/message_record.hpp>

#include <boost/test/unit_test.hpp>

#include <vector>

using namespace qtforge;
using namespace qtforge::detail;

namespace {

int freed = 0;
void (*destroy)(MessageRecord*) = nullptr;  // the record's own

Message made(ThreadRecord& maker) {
  auto* record = makeRecord("a.topic", maker);
  record->payload = boost::json::value({{"n", 1}});
  destroy = record->destroy;
  record->destroy = [](MessageRecord* self) {
    ++freed;
    destroy(self);
  };
  return Message::adopt(record);
}

struct Fresh {
  Fresh() { freed = 0; }
  ThreadRecord maker, consumer;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(message_record, Fresh)

BOOST_AUTO_TEST_CASE(what_one_thread_made_and_another_handled_is_left_to_the_first) {
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 3; ++i) home.add(made(maker));
  }
  BOOST_TEST(freed == 0);
  BOOST_TEST(maker.returned.load() != nullptr);
  freeReturned(maker);
  BOOST_TEST(freed == 3);
  BOOST_TEST(maker.returned.load() == nullptr);
}

BOOST_AUTO_TEST_CASE(each_maker_gets_its_own) {
  ThreadRecord other;
  {
    ReturnMessages home(consumer);
    for (int i = 0; i < 3; ++i) {
      home.add(made(maker));
      home.add(made(other));
    }
  }
  freeReturned(maker);
  BOOST_TEST(freed == 3);
  freeReturned(other);
  BOOST_TEST(freed == 6);
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
  BOOST_TEST(kept.json()->at("n").as_int64() == 1);
}

BOOST_AUTO_TEST_CASE(a_buffer_is_let_go_by_who_read_it_last) {
  auto binary = made(maker);
  binary.record()->payload = BinaryMessage{};
  auto attached = made(maker);
  attached.record()->attachments.push_back({"/n", {}});
  ReturnMessages home(consumer);
  home.add(std::move(binary));
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
