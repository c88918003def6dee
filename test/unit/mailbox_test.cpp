// Mailbox: what meets it before its consumer begins. The policies are seen through the bus.

#include <qtforge/communication/detail/mailbox.hpp>
#include <qtforge/communication/detail/message_record.hpp>

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <string>
#include <vector>

using namespace qtforge;
using namespace qtforge::detail;

namespace mailbox {

ThreadRecord maker;

Message message(const char* topic, int value) {
  auto made = Message::adopt(makeRecord({topic}, maker));
  new (const_cast<void*>(made.record()->payload)) boost::json::value(value);
  made.record()->kind = PayloadKind::Json;
  return made;
}

PutResult put(Mailbox& box, Message given) {
  Message evicted = Message::adopt(nullptr);
  return box.put(std::move(given), evicted);
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

}  // namespace mailbox

BOOST_AUTO_TEST_SUITE(mailbox)

BOOST_AUTO_TEST_CASE(it_schedules_nothing_before_it_is_open) {
  Mailbox box(8, OverflowPolicy::Fail);
  BOOST_TEST((put(box, message("a", 1)) == Mailbox::Put::Queued));
  BOOST_TEST(box.open({}));
  BOOST_TEST(contents(box) == "a=1");
  BOOST_TEST((put(box, message("a", 2)) == Mailbox::Put::QueuedFirst));
  Mailbox empty(8, OverflowPolicy::Fail);
  BOOST_TEST(!empty.open({}));
}

BOOST_AUTO_TEST_CASE(what_is_there_at_the_opening_comes_first_as_far_as_there_is_place) {
  Mailbox box(3, OverflowPolicy::Fail);
  put(box, message("a", 9));
  BOOST_TEST(box.open(std::vector{message("a", 1), message("a", 2), message("a", 3)}));
  BOOST_TEST(box.dropped() == 1u);
  BOOST_TEST((put(box, message("a", 10)) == Mailbox::Put::Full));
  BOOST_TEST(contents(box) == "a=2 a=3 a=9");
}

BOOST_AUTO_TEST_CASE(an_overflow_is_the_first_one_until_the_consumer_has_emptied_it) {
  Mailbox box(1, OverflowPolicy::DropOldest);
  box.open({});
  put(box, message("a", 0));
  for (int i = 1; i < 4; ++i) {
    BOOST_TEST((put(box, message("a", i)) == Mailbox::Put::DroppedOldest));
    BOOST_TEST(box.firstOverflow() == (i == 1));
  }
  BOOST_TEST(contents(box) == "a=3");
  put(box, message("a", 4));
  put(box, message("a", 5));
  BOOST_TEST(box.firstOverflow());
}

BOOST_AUTO_TEST_CASE(at_the_opening_latest_keeps_the_newer_one_and_a_place_for_others) {
  Mailbox box(2, OverflowPolicy::Latest);
  put(box, message("a", 2));
  BOOST_TEST(box.open(std::vector{message("b", 1), message("a", 1)}));
  BOOST_TEST(box.replaced() == 1u);
  BOOST_TEST(box.dropped() == 0u);
  BOOST_TEST((put(box, message("b", 5)) == Mailbox::Put::Replaced));
  BOOST_TEST(contents(box) == "b=5 a=2");
}

BOOST_AUTO_TEST_CASE(a_closed_one_takes_nothing) {
  Mailbox box(2, OverflowPolicy::Block);
  box.close();
  BOOST_TEST(!box.open(std::vector{message("a", 1)}));
  BOOST_TEST((put(box, message("a", 1)) == Mailbox::Put::Closed));
}

namespace {

struct Put : WaitingPut {
  explicit Put(int value)
      : WaitingPut(mailbox::message("a", value), [](WaitingPut* self) { ++static_cast<Put*>(self)->told; }) {}
  int told = 0;
};
struct Wait : HandledWait {
  Wait() : HandledWait([](HandledWait* self) { ++static_cast<Wait*>(self)->told; }) {}
  int told = 0;
};

}  // namespace

BOOST_AUTO_TEST_CASE(puts_stand_in_line_and_are_told_of_their_places) {
  Mailbox box(2, OverflowPolicy::Block);
  box.open({});
  Put first(1), second(2), third(3), fourth(4);
  BOOST_TEST((box.putOrWait(first) == PutResult::QueuedFirst));
  BOOST_TEST((box.putOrWait(second) == PutResult::Queued));
  BOOST_TEST((box.putOrWait(third) == PutResult::Waiting));
  BOOST_TEST((box.putOrWait(fourth) == PutResult::Waiting));
  BOOST_TEST((put(box, message("a", 5)) == PutResult::Full));
  BOOST_TEST((box.putWithin(message("a", 5), std::chrono::steady_clock::now()) == PutResult::Full));
  std::vector<Message> batch;
  BOOST_TEST(box.take(batch, 1));
  BOOST_TEST(third.told == 1);
  BOOST_TEST((third.result == PutResult::Queued));
  BOOST_TEST(!box.withdraw(third));
  BOOST_TEST((put(box, message("a", 5)) == PutResult::Full));
  BOOST_TEST(box.withdraw(fourth));
  BOOST_TEST(!box.withdraw(fourth));
  BOOST_TEST(fourth.told == 0);
  BOOST_TEST(contents(box) == "a=2 a=3");
  BOOST_TEST(first.told + second.told == 0);
}

BOOST_AUTO_TEST_CASE(messages_that_go_for_newer_ones_do_not_count_before_the_one_in_the_handler) {
  Mailbox box(2, OverflowPolicy::DropOldest);
  box.open({});
  std::vector<Message> batch;
  put(box, message("a", 1));
  BOOST_TEST(box.take(batch, 1));
  put(box, message("a", 2));
  put(box, message("a", 3));
  Wait handled;
  BOOST_TEST(box.waitHandled(handled));
  for (const int later : {4, 5, 6}) put(box, message("a", later));
  BOOST_TEST(handled.told == 0);
  BOOST_TEST(box.busy());
  BOOST_TEST(box.take(batch, 2));
  BOOST_TEST(handled.told == 1);
}

BOOST_AUTO_TEST_CASE(what_is_there_at_the_opening_counts_before_those_that_were_waited_for) {
  Mailbox box(8, OverflowPolicy::Fail);
  put(box, message("a", 9));
  Wait handled;
  BOOST_TEST(box.waitHandled(handled));
  BOOST_TEST(box.open(std::vector{message("a", 1), message("a", 2)}));
  std::vector<Message> batch;
  BOOST_TEST(box.take(batch, 2));
  BOOST_TEST(box.take(batch, 1));
  BOOST_TEST(handled.told == 0);
  BOOST_TEST(!box.take(batch, 1));
  BOOST_TEST(handled.told == 1);
}

BOOST_AUTO_TEST_CASE(only_block_has_a_line) {
  for (const auto policy : {OverflowPolicy::Fail, OverflowPolicy::DropNewest, OverflowPolicy::DropOldest, OverflowPolicy::Latest}) {
    Mailbox box(1, policy);
    box.open({});
    Put first(1), second(2);
    box.putOrWait(first);
    BOOST_TEST((box.putOrWait(second) != PutResult::Waiting));
  }
}

BOOST_AUTO_TEST_CASE(the_end_tells_all_who_wait) {
  Mailbox box(1, OverflowPolicy::Block);
  box.open({});
  Put first(1), second(2);
  Wait handled;
  box.putOrWait(first);
  box.putOrWait(second);
  BOOST_TEST(box.waitHandled(handled));
  box.close();
  BOOST_TEST((second.result == PutResult::Closed));
  BOOST_TEST(second.told == 1);
  BOOST_TEST(handled.told == 1);
  BOOST_TEST(!box.forget(handled));
  BOOST_TEST(!box.waitHandled(handled));
}

BOOST_AUTO_TEST_CASE(who_waits_for_all_to_be_handled_does_not_wait_for_what_comes_later_or_goes) {
  Mailbox box(1, OverflowPolicy::Block);
  box.open({});
  Wait none, early, late, forgotten;
  BOOST_TEST(!box.waitHandled(none));
  Put first(1), second(2), third(3), fourth(4);
  for (auto* put : {&first, &second, &third}) box.putOrWait(*put);
  BOOST_TEST(box.waitHandled(early));
  box.putOrWait(fourth);
  BOOST_TEST(box.waitHandled(late));
  BOOST_TEST(box.waitHandled(forgotten));
  BOOST_TEST(box.forget(forgotten));
  BOOST_TEST(box.withdraw(second));
  std::vector<Message> batch;
  box.take(batch, 1);  // the first is in hand
  BOOST_TEST(early.told == 0);
  box.take(batch, 1);  // the third is in hand, the first is handled
  BOOST_TEST(early.told == 0);
  BOOST_TEST(box.withdraw(fourth) == false);
  box.take(batch, 1);
  BOOST_TEST(early.told == 1);
  BOOST_TEST(late.told == 0);
  box.take(batch, 1);
  BOOST_TEST(late.told == 1);
  BOOST_TEST(forgotten.told == 0);
  BOOST_TEST(!box.busy());
}

BOOST_AUTO_TEST_CASE(what_is_dropped_for_a_newer_message_is_no_longer_waited_for) {
  Mailbox box(1, OverflowPolicy::DropOldest);
  box.open({});
  Wait handled;
  put(box, message("a", 1));
  BOOST_TEST(box.waitHandled(handled));
  put(box, message("a", 2));
  BOOST_TEST(handled.told == 1);
}

BOOST_AUTO_TEST_SUITE_END()
