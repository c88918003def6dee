#pragma once
// qtforge/communication/detail/message_data.hpp: a message in memory.

#include <qtforge/communication/detail/payload_type.hpp>
#include <qtforge/communication/payload.hpp>

#include <boost/json/object.hpp>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

struct MessageRecord;
struct ThreadRecord;

/// What most messages do not have.
struct MessageExtras {
  boost::json::object headers;
  Attachments attachments;
  std::string replyTo;
  std::uint64_t correlation = 0;
  std::uint64_t retainedAs = 0;       // the number under which it is its topic's last, or was
  MessageRecord* source = nullptr;    // whose payload it shares
  const PayloadType* type = nullptr;  // of a typed payload
  Lease* lease = nullptr;             // on the code of `type`
  PayloadShadow shadow;
  std::atomic<const boost::json::value*> json{nullptr};  // the JSON form of a typed payload, once somebody wanted it
};

/// A published message: one allocation with its topic, extras and payload behind it. Made and freed by the bus's binary.
struct MessageRecord {
  std::atomic<std::uint32_t> references{1};
  PayloadKind kind = PayloadKind::None;
  std::uint8_t topicSize = 0;
  bool inBlock = false;    // its memory is a MessageBlock's
  bool built = false;      // its payload is a BuiltPayload
  std::uint8_t lines = 0;  // else the size of the allocation in cache lines; 0: not to be used again
  void (*destroy)(MessageRecord* self) = nullptr;
  ThreadRecord* maker = nullptr;
  MessageRecord* next = nullptr;  // of the dead that their maker frees
  const std::string* sender = nullptr;
  const void* payload = nullptr;
  MessageExtras* extras = nullptr;  // may be null
  union {
    std::uint64_t id = 0;
    MessageRecord* ahead;  // of the dead: one that their maker comes to some steps later
  };
  std::chrono::system_clock::time_point time;

  [[nodiscard]] std::string_view topic() const noexcept {
    return {reinterpret_cast<const char*>(this + 1), topicSize};
  }
  [[nodiscard]] PayloadView view() const noexcept { return {kind, payload, extras ? extras->type : nullptr}; }

  /// The JSON payload; of a typed one its JSON form, made at the first call; null for others.
  ///
  /// @return or what its conversion says
  expected<const boost::json::value*> json() {
    if (kind == PayloadKind::Json) [[likely]]
      return static_cast<const boost::json::value*>(payload);
    if (kind != PayloadKind::Typed) return static_cast<const boost::json::value*>(nullptr);
    if (extras->source) return extras->source->json();
    if (const auto* made = extras->json.load(std::memory_order_acquire)) return made;
    auto made = std::make_unique<boost::json::value>();
    Error error;
    if (extras->type->toJson(payload, made.get(), sinkInto(error)) != 0)
      return Error(Errc::ConversionFailed,
                   "the JSON form of " + std::string(std::string_view(extras->type->name)) + ": " + error.message());
    const boost::json::value* none = nullptr;
    if (extras->json.compare_exchange_strong(none, made.get(), std::memory_order_acq_rel)) return made.release();
    return none;  // another thread was first
  }
};

/// Memory of a message beyond its first.
struct ArenaBuffer {
  ArenaBuffer* next;
  std::size_t size;  // with this
};

/// JSON that was built in the message's own memory, which goes on behind it. Nothing of it is freed by itself.
struct BuiltPayload {
  boost::json::value value;
  ArenaBuffer* more = nullptr;

  static BuiltPayload& of(const MessageRecord& record) noexcept {
    return *static_cast<BuiltPayload*>(const_cast<void*>(record.payload));
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
