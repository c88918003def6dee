#pragma once
// qtforge/communication/detail/message_record.hpp: makes messages, and frees them on the thread that made them while
// messages come thick: blocks that one thread allocates and another frees make both wait for one allocator's lock.

#include <qtforge/communication/detail/thread_record.hpp>
#include <qtforge/communication/message.hpp>

#include <boost/json/object.hpp>

#include <cstring>
#include <new>
#include <span>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// A record and its topic in one allocation.
inline MessageRecord* makeRecord(std::string_view topic, ThreadRecord& maker) {
  void* memory = ::operator new(sizeof(MessageRecord) + topic.size());
  auto* record = new (memory) MessageRecord();
  char* text = static_cast<char*>(memory) + sizeof(MessageRecord);
  std::memcpy(text, topic.data(), topic.size());
  record->topic = {text, topic.size()};
  record->maker = &maker;
  record->destroy = [](MessageRecord* self) {
    self->~MessageRecord();
    ::operator delete(self);
  };
  return record;
}

/// Frees the dead messages that were left to the thread of `record`; on any thread.
inline void freeReturned(ThreadRecord& record) {
  if (!record.returned.load(std::memory_order_relaxed)) [[likely]]
    return;
  record.returnedCount.store(0, std::memory_order_relaxed);
  auto* dead = record.returned.exchange(nullptr, std::memory_order_acquire);
  while (dead) {
    auto* next = dead->next;
    dead->destroy(dead);
    dead = next;
  }
}

/// Frees what was left to any thread: once messages come no longer thick.
inline void freeAllReturned() {
  ThreadRecords::instance().forEach([](ThreadRecord& record) { freeReturned(record); });
}

/// Lets go of messages that were handled on the calling thread, the owner of `mine`. Those that are dead then, and hold
/// nothing but memory, are left to their makers.
class ReturnMessages {
 public:
  explicit ReturnMessages(const ThreadRecord& mine) : mine_(mine) {}
  ReturnMessages(const ReturnMessages&) = delete;
  ReturnMessages& operator=(const ReturnMessages&) = delete;
  ~ReturnMessages() { flush(); }

  void add(Message message) {
    auto* record = message.record();
    // Alone with it: nobody else can get at it any more.
    if (record->maker == &mine_ || !onlyMemory(*record) || record->references.load(std::memory_order_acquire) != 1)
      return;
    if (maker_ != record->maker) flush();
    if (!first_) {
      maker_ = record->maker;
      if (maker_->returnedCount.load(std::memory_order_relaxed) >= mostReturned) return;
      last_ = record;
    }
    record->next = std::exchange(first_, message.release());
    ++count_;
  }

 private:
  static constexpr std::uint32_t mostReturned = 1024;  // to one thread, which may be waiting for a place in a mailbox

  static bool onlyMemory(const MessageRecord& record) noexcept {
    return std::holds_alternative<boost::json::value>(record.payload) && record.attachments.empty();
  }

  void flush() {
    if (!first_) return;
    maker_->returnedCount.fetch_add(std::exchange(count_, 0), std::memory_order_relaxed);
    last_->next = maker_->returned.load(std::memory_order_relaxed);
    while (!maker_->returned.compare_exchange_weak(last_->next, first_, std::memory_order_release,
                                                   std::memory_order_relaxed)) {}
    first_ = nullptr;
  }

  const ThreadRecord& mine_;
  ThreadRecord* maker_ = nullptr;
  MessageRecord *first_ = nullptr, *last_ = nullptr;
  std::uint32_t count_ = 0;
};

// Only a hint: any address may be given.
inline void prefetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

/// Starts to load what later messages of a batch need, while the one at `at` is handled: another thread wrote them, and
/// each is three steps deep.
inline void prefetchAhead(std::span<const Message> batch, std::size_t at) noexcept {
  constexpr std::size_t recordsAhead = 12, tablesAhead = 6, keysAhead = 3, line = 64;
  if (at + recordsAhead < batch.size()) {
    const auto* record = reinterpret_cast<const char*>(batch[at + recordsAhead].record());
    for (std::size_t i = 0; i < sizeof(MessageRecord); i += line) prefetch(record + i);
  }
  const auto objectOf = [&](std::size_t ahead) -> const boost::json::object* {
    const auto* json = at + ahead < batch.size() ? batch[at + ahead].json() : nullptr;
    return json ? json->if_object() : nullptr;
  };
  if (const auto* object = objectOf(tablesAhead); object && !object->empty())
    for (std::size_t i = 0; i < 3; ++i) prefetch(reinterpret_cast<const char*>(object->begin()) + i * line);
  if (const auto* object = objectOf(keysAhead); object && object->size() <= 8)
    for (const auto& member : *object) prefetch(member.key().data());
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
