#pragma once
// qtforge/communication/message.hpp: what travels on the bus: JSON or bytes, with topic, sender, id and time.

#include <qtforge/communication/buffer.hpp>
#include <qtforge/utils/error.hpp>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <atomic>
#include <chrono>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// Bytes with what is needed to understand them.
struct BinaryMessage {
  Buffer data;
  std::string contentType = "application/octet-stream";  ///< media type (RFC 6838)
  std::string dtype;                                     ///< element type in numpy's notation ("<f4"); empty: bytes
  std::vector<std::size_t> shape;                        ///< elements per dimension, C order; empty: one dimension
};

/// Bytes that belong into a JSON payload, which has null there.
struct Attachment {
  std::string place;  ///< JSON pointer (RFC 6901) from the payload's root
  Buffer data;
};

using Attachments = std::vector<Attachment>;
using Payload = std::variant<boost::json::value, BinaryMessage>;

namespace detail {

struct ThreadRecord;

/// A published message; one allocation with its topic behind it. Made and freed by the bus's binary.
struct MessageRecord {
  std::atomic<std::uint32_t> references{1};
  void (*destroy)(MessageRecord* self) = nullptr;
  ThreadRecord* maker = nullptr;
  MessageRecord* next = nullptr;  // of the dead that their maker frees
  std::string_view topic;
  std::string_view sender;
  Payload payload;
  Attachments attachments;
  boost::json::object headers;
  std::string replyTo;
  std::uint64_t id = 0;
  std::uint64_t correlation = 0;
  std::uint64_t retainedAs = 0;  // the number under which it is its topic's last, or was
  std::chrono::system_clock::time_point time;
};

}  // namespace detail

/// One published message: immutable, shared by all who receive it; a copy costs an increment.
///
/// @par Thread safety  any thread.
class Message {
 public:
  Message(const Message& other) noexcept : record_(other.record_) {
    if (record_) record_->references.fetch_add(1, std::memory_order_relaxed);
  }
  Message(Message&& other) noexcept : record_(std::exchange(other.record_, nullptr)) {}
  Message& operator=(Message other) noexcept {
    std::swap(record_, other.record_);
    return *this;
  }
  ~Message() {
    if (!record_) return;
    // The only owner needs no atomic change.
    if (record_->references.load(std::memory_order_acquire) == 1 ||
        record_->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      record_->destroy(record_);
  }

  [[nodiscard]] std::string_view topic() const noexcept { return record_->topic; }
  /// Name of the plugin that published it; "host" for the application.
  [[nodiscard]] std::string_view sender() const noexcept { return record_->sender; }
  /// Unique in its bus; grows with every message of one publishing thread.
  [[nodiscard]] std::uint64_t id() const noexcept { return record_->id; }
  /// When it was published, UTC.
  [[nodiscard]] std::chrono::system_clock::time_point time() const noexcept { return record_->time; }
  [[nodiscard]] const boost::json::object& headers() const noexcept { return record_->headers; }
  /// Where an answer is expected; empty: nowhere.
  [[nodiscard]] std::string_view replyTo() const noexcept { return record_->replyTo; }
  /// The number that a request and its answer share; 0 for other messages.
  [[nodiscard]] std::uint64_t correlation() const noexcept { return record_->correlation; }

  [[nodiscard]] const Payload& payload() const noexcept { return record_->payload; }
  /// The JSON payload, or null for a binary one.
  [[nodiscard]] const boost::json::value* json() const noexcept {
    return std::get_if<boost::json::value>(&record_->payload);
  }
  /// The binary payload, or null for a JSON one.
  [[nodiscard]] const BinaryMessage* binary() const noexcept { return std::get_if<BinaryMessage>(&record_->payload); }
  /// Bytes inside the JSON payload, by place.
  [[nodiscard]] const Attachments& attachments() const noexcept { return record_->attachments; }

  /// Takes over one reference. For the library's own use.
  static Message adopt(detail::MessageRecord* record) noexcept { return Message(record); }
  /// For the library's own use.
  [[nodiscard]] detail::MessageRecord* record() const noexcept { return record_; }
  /// Gives its reference away; it is then empty. For the library's own use.
  [[nodiscard]] detail::MessageRecord* release() noexcept { return std::exchange(record_, nullptr); }

 private:
  explicit Message(detail::MessageRecord* record) noexcept : record_(record) {}
  detail::MessageRecord* record_;
};

}  // namespace qtforge::inline QTFORGE_ABI
