// Mailbox: what meets it before its consumer begins. The policies are seen through the bus.

#include <qtforge/communication/detail/mailbox.hpp>
#include <qtforge/communication/detail/message_record.hpp>

#include <boost/test/unit_test.hpp>

#include <string>
#include <vector>

using namespace qtforge;
using namespace qtforge::detail;

namespace {

ThreadRecord maker;

Message message(const char* topic, int value) {
  auto made = Message::adopt(makeRecord({topic}, maker));
  new (const_cast<void*>(made.record()->payload)) boost::json::value(value);
  made.record()->kind = PayloadKind::Json;
  return made;
}

std::string contents(Mailbox& box) {
  std::string text;
  MessageRecord* record = nullptr;
  while (box.receive(&record, 1) == 1) {
    const auto got = Message::adopt(record);
    text += (text.empty() ? "" : " ") + std::string(got.topic()) + "=" + std::to_string(got.json()->as_int64());
  }
  return text;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(mailbox)

BOOST_AUTO_TEST_CASE(it_schedules_nothing_before_it_is_open) {
  Mailbox box(8, OverflowPolicy::Fail);
  BOOST_TEST((box.put(message("a", 1)) == Mailbox::Put::Queued));
  BOOST_TEST(box.open({}));
  BOOST_TEST(contents(box) == "a=1");
  BOOST_TEST((box.put(message("a", 2)) == Mailbox::Put::QueuedFirst));
  Mailbox empty(8, OverflowPolicy::Fail);
  BOOST_TEST(!empty.open({}));
}

BOOST_AUTO_TEST_CASE(what_is_there_at_the_opening_comes_first_as_far_as_there_is_place) {
  Mailbox box(3, OverflowPolicy::Fail);
  box.put(message("a", 9));
  BOOST_TEST(box.open(std::vector{message("a", 1), message("a", 2), message("a", 3)}));
  BOOST_TEST(box.dropped() == 1u);
  BOOST_TEST((box.put(message("a", 10)) == Mailbox::Put::Full));
  BOOST_TEST(contents(box) == "a=2 a=3 a=9");
}

BOOST_AUTO_TEST_CASE(an_overflow_is_the_first_one_until_the_consumer_has_emptied_it) {
  Mailbox box(1, OverflowPolicy::DropOldest);
  box.open({});
  box.put(message("a", 0));
  for (int i = 1; i < 4; ++i) {
    BOOST_TEST((box.put(message("a", i)) == Mailbox::Put::DroppedOldest));
    BOOST_TEST(box.firstOverflow() == (i == 1));
  }
  BOOST_TEST(contents(box) == "a=3");
  box.put(message("a", 4));
  box.put(message("a", 5));
  BOOST_TEST(box.firstOverflow());
}

BOOST_AUTO_TEST_CASE(at_the_opening_latest_keeps_the_newer_one_and_a_place_for_others) {
  Mailbox box(2, OverflowPolicy::Latest);
  box.put(message("a", 2));
  BOOST_TEST(box.open(std::vector{message("b", 1), message("a", 1)}));
  BOOST_TEST(box.replaced() == 1u);
  BOOST_TEST(box.dropped() == 0u);
  BOOST_TEST((box.put(message("b", 5)) == Mailbox::Put::Replaced));
  BOOST_TEST(contents(box) == "b=5 a=2");
}

BOOST_AUTO_TEST_CASE(a_closed_one_takes_nothing) {
  Mailbox box(2, OverflowPolicy::Block);
  box.close();
  BOOST_TEST(!box.open(std::vector{message("a", 1)}));
  BOOST_TEST((box.put(message("a", 1)) == Mailbox::Put::Closed));
}

BOOST_AUTO_TEST_SUITE_END()
