#pragma once
// qtforge/communication/detail/message_record.hpp: makes messages, and frees them on the thread that made them while
// messages come thick: blocks that one thread allocates and another frees make both wait for one allocator's lock.

#include <qtforge/communication/detail/message_block.hpp>
#include <qtforge/communication/message.hpp>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What a record is made for.
struct RecordPlan {
  std::string_view topic;
  bool extras = false;
  bool onlyMemory = false;  // its end frees nothing but its own memory
  std::size_t payloadSize = sizeof(boost::json::value);
  std::size_t payloadAlignment = alignof(boost::json::value);
};

inline constexpr std::size_t largestSpare = 4;       // cache lines
inline constexpr std::uint32_t mostSpare = 1024;     // blocks per thread, and messages that are left to one

inline void endExtras(MessageExtras& extras) {
  delete extras.json.load(std::memory_order_acquire);
  if (extras.source) Message::adopt(extras.source);
  if (extras.shadow.object) extras.shadow.destroy(extras.shadow.object);
  Lease* lease = extras.lease;
  std::destroy_at(&extras);
  if (lease) lease->release();
}

/// Ends what the record holds; its memory stays.
inline void endContents(MessageRecord& record) {
  auto* extras = record.extras;
  if (record.built) {
    auto* buffer = BuiltPayload::of(record).more;
    if (extras) endExtras(*extras);  // they may lie in a buffer
    while (buffer) ::operator delete(std::exchange(buffer, buffer->next));
    return;
  }
  if (record.inBlock && !extras) return;  // JSON that holds no memory
  if (!extras || !extras->source) {
    auto* payload = const_cast<void*>(record.payload);
    if (record.kind == PayloadKind::Json) std::destroy_at(static_cast<boost::json::value*>(payload));
    else if (record.kind == PayloadKind::Binary) std::destroy_at(static_cast<BinaryMessage*>(payload));
    else if (record.kind == PayloadKind::Typed) extras->type->destroy(payload);
  }
  if (extras) endExtras(*extras);
}

inline void destroyRecord(MessageRecord* record) {
  endContents(*record);
  if (record->inBlock) MessageBlock::of(record).letGo(1);
  else ::operator delete(record);
}

/// Frees the memory that the ending thread keeps for messages.
inline void freeSpare(ThreadRecord& maker) {
  MessageBlock::freeSpare(maker);
  while (auto* spare = maker.spare) {
    maker.spare = spare->next;
    ::operator delete(spare);
  }
  maker.spareCount = 0;
}

/// Memory for a record, if possible of one that was left to the calling thread, the owner of `maker`.
inline void* recordMemory(std::size_t lines, ThreadRecord& maker) {
  if (auto* spare = maker.spare) {
    const bool fits = spare->lines == lines;
    maker.spare = spare->next;
    --maker.spareCount;
    if (fits) return spare;
    ::operator delete(spare);
  }
  return ::operator new(lines * cacheLine);
}

/// A record with its topic and extras. `payload` points to the place for the payload, of which there is none yet.
inline MessageRecord* makeRecord(const RecordPlan& plan, ThreadRecord& maker) {
  const auto roundUp = [](std::size_t size, std::size_t alignment) { return (size + alignment - 1) / alignment * alignment; };
  const auto extrasAt = roundUp(sizeof(MessageRecord) + plan.topic.size(), alignof(MessageExtras));
  const auto payloadAt = extrasAt + (plan.extras ? sizeof(MessageExtras) : 0);
  const auto slack = plan.payloadAlignment > alignof(MessageExtras) ? plan.payloadAlignment : 0;
  const auto lines = (payloadAt + slack + plan.payloadSize + cacheLine - 1) / cacheLine;
  const bool inBlock = plan.onlyMemory && lines <= MessageBlock::mostLines;
  void* memory = inBlock ? MessageBlock::take(lines, maker) : recordMemory(lines, maker);
  auto* record = new (memory) MessageRecord();
  auto* bytes = static_cast<char*>(memory);
  std::memcpy(bytes + sizeof(MessageRecord), plan.topic.data(), plan.topic.size());
  record->topicSize = static_cast<std::uint8_t>(plan.topic.size());
  record->inBlock = inBlock;
  record->lines = !inBlock && lines <= largestSpare ? static_cast<std::uint8_t>(lines) : std::uint8_t(0);
  record->maker = &maker;
  maker.freeSpare = &freeSpare;
  record->destroy = &destroyRecord;
  if (plan.extras) record->extras = new (bytes + extrasAt) MessageExtras();
  record->payload = reinterpret_cast<void*>(
      roundUp(reinterpret_cast<std::uintptr_t>(bytes + payloadAt), std::max<std::size_t>(1, plan.payloadAlignment)));
  return record;
}

// What ending a record's contents reads: another thread wrote it last.
inline void prefetchRecord(const MessageRecord* record) noexcept {
  const auto* bytes = reinterpret_cast<const char*>(record);
  for (std::size_t i = 0; i < 2; ++i) prefetch(bytes + i * cacheLine);
}

/// Ends a dead message and keeps its memory for the next one of the calling thread, the owner of `mine`.
inline void keepMemory(MessageRecord* dead, ThreadRecord& mine) {
  if (dead->lines == 0 || mine.spareCount >= mostSpare) return destroyRecord(dead);
  endContents(*dead);
  dead->next = std::exchange(mine.spare, dead);
  ++mine.spareCount;
}

/// Ends the dead messages that were left to the calling thread, the owner of `mine`, and keeps some of their memory.
inline void takeReturned(ThreadRecord& mine) {
  if (!mine.returned.load(std::memory_order_relaxed)) [[likely]]
    return;
  mine.returnedCount.store(0, std::memory_order_relaxed);
  auto* dead = mine.returned.exchange(nullptr, std::memory_order_acquire);
  while (dead) {
    auto* next = dead->next;
    if (dead->ahead) prefetchRecord(dead->ahead);
    keepMemory(dead, mine);
    dead = next;
  }
}

/// Frees the dead messages that were left to the thread of `record`; on any thread.
inline void freeReturned(ThreadRecord& record) {
  if (!record.returned.load(std::memory_order_relaxed)) return;
  record.returnedCount.store(0, std::memory_order_relaxed);
  auto* dead = record.returned.exchange(nullptr, std::memory_order_acquire);
  while (dead) destroyRecord(std::exchange(dead, dead->next));
}

/// Frees what has been left to any thread so far: for a consumer that has nothing more to do.
inline void freeAllReturned() {
  ThreadRecords::instance().forEach([](ThreadRecord& record) { freeReturned(record); });
}

/// Lets go of messages that were handled on the calling thread, the owner of `mine`. Those that are dead then end: blocks
/// learn of it for some messages at a time; those outside of blocks that hold nothing but memory are left to their makers,
/// single ones are freed at once.
class ReturnMessages {
 public:
  explicit ReturnMessages(ThreadRecord& mine) : mine_(mine) {}
  ReturnMessages(const ReturnMessages&) = delete;
  ReturnMessages& operator=(const ReturnMessages&) = delete;
  ~ReturnMessages() {
    leaveBlock();
    if (left_ || count_ >= worthReturning) flush();
    while (first_) destroyRecord(std::exchange(first_, first_->next));
  }

  void add(Message message) {
    auto* record = message.record();
    if (record->references.load(std::memory_order_acquire) != 1) return;
    // Alone with it: nobody else can get at it any more.
    if (record->inBlock) return endInBlock(message.release());
    if (!onlyMemory(*record)) return;
    if (record->maker == &mine_) return keepMemory(message.release(), mine_);
    if (maker_ != record->maker) flush();
    if (!first_) {
      maker_ = record->maker;
      if (maker_->returnedCount.load(std::memory_order_relaxed) >= mostSpare) return;
      last_ = record;
    }
    record->next = std::exchange(first_, message.release());
    record->ahead = std::exchange(recent_[count_ % stepsAhead], record);
    if (++count_ == together) flush();
  }

  /// Whether some were left to their makers.
  [[nodiscard]] bool left() const noexcept { return left_; }

 private:
  static constexpr std::uint32_t together = 32;
  static constexpr std::uint32_t worthReturning = 8;  // else messages are rare

  static bool onlyMemory(const MessageRecord& record) noexcept {
    if (!record.extras) return record.kind == PayloadKind::Json;
    const auto& extras = *record.extras;
    // A library waits for its lease, and a shadow may want this thread.
    if (extras.source || !extras.attachments.empty() || extras.lease || extras.shadow.object) return false;
    return record.kind == PayloadKind::Json || (record.kind == PayloadKind::Typed && extras.type->onlyMemory);
  }

  void endInBlock(MessageRecord* dead) {
    endContents(*dead);
    auto* block = &MessageBlock::of(dead);
    if (block != block_) {
      leaveBlock();
      block_ = block;
    }
    ++deadInBlock_;
  }

  void leaveBlock() {
    if (block_) block_->letGo(std::exchange(deadInBlock_, 0));
    block_ = nullptr;
  }

  void flush() {
    if (!first_) return;
    maker_->returnedCount.fetch_add(std::exchange(count_, 0), std::memory_order_relaxed);
    last_->next = maker_->returned.load(std::memory_order_relaxed);
    while (!maker_->returned.compare_exchange_weak(last_->next, first_, std::memory_order_release,
                                                   std::memory_order_relaxed)) {}
    first_ = nullptr;
    recent_ = {};
    left_ = true;
  }

  static constexpr std::size_t stepsAhead = 4;

  ThreadRecord& mine_;
  MessageBlock* block_ = nullptr;
  std::int32_t deadInBlock_ = 0;
  ThreadRecord* maker_ = nullptr;
  MessageRecord *first_ = nullptr, *last_ = nullptr;
  std::array<MessageRecord*, stepsAhead> recent_{};
  std::uint32_t count_ = 0;
  bool left_ = false;
};

/// Starts to load what later messages of a batch need, while the one at `at` is handled: another thread wrote them, and
/// each is three steps deep.
inline void prefetchAhead(std::span<const Message> batch, std::size_t at) noexcept {
  constexpr std::size_t recordsAhead = 12, tablesAhead = 6, keysAhead = 3;
  if (at + recordsAhead < batch.size()) prefetchRecord(batch[at + recordsAhead].record());
  const auto objectOf = [&](std::size_t ahead) -> const boost::json::object* {
    if (at + ahead >= batch.size()) return nullptr;
    const auto* record = batch[at + ahead].record();
    return record->kind == PayloadKind::Json ? static_cast<const boost::json::value*>(record->payload)->if_object()
                                             : nullptr;
  };
  if (const auto* object = objectOf(tablesAhead); object && !object->empty())
    for (std::size_t i = 0; i < 3; ++i) prefetch(reinterpret_cast<const char*>(object->begin()) + i * cacheLine);
  if (const auto* object = objectOf(keysAhead); object && object->size() <= 8)
    for (const auto& member : *object) prefetch(member.key().data());
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
