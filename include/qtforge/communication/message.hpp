#pragma once
// qtforge/communication/message.hpp: what travels on the bus: a payload with topic, sender, id and time.

#include <qtforge/communication/array_view.hpp>
#include <qtforge/communication/detail/message_data.hpp>
#include <qtforge/communication/detail/value_of.hpp>

#include <chrono>
#include <string_view>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI {

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
    if (record_) letGo(record_);
  }

  [[nodiscard]] std::string_view topic() const noexcept { return record_->topic(); }
  /// Name of the plugin that published it; "host" for the application.
  [[nodiscard]] std::string_view sender() const noexcept { return *record_->sender; }
  /// Unique in its bus; grows with every message of one publishing thread.
  [[nodiscard]] std::uint64_t id() const noexcept { return record_->id; }
  /// When it was published, UTC, to about a microsecond.
  [[nodiscard]] std::chrono::system_clock::time_point time() const noexcept { return record_->time; }
  [[nodiscard]] const boost::json::object& headers() const noexcept { return extras().headers; }
  /// Where an answer is expected; empty: nowhere.
  [[nodiscard]] std::string_view replyTo() const noexcept { return extras().replyTo; }
  /// The number that a request and its answer share; 0 for other messages.
  [[nodiscard]] std::uint64_t correlation() const noexcept { return extras().correlation; }

  /// The JSON payload, or null for a binary one. Of a payload of a C++ type its JSON form, which is made once, when it is
  /// first asked for.
  ///
  /// @throws qtforge::Exception  when a C++ type's own conversion fails
  [[nodiscard]] const boost::json::value* json() const { return record_->json().value(); }
  /// The binary payload, or null for another one.
  [[nodiscard]] const BinaryMessage* binary() const noexcept {
    return record_->kind == detail::PayloadKind::Binary ? static_cast<const BinaryMessage*>(record_->payload) : nullptr;
  }
  /// Bytes inside the JSON payload, by place.
  [[nodiscard]] const Attachments& attachments() const noexcept { return extras().attachments; }
  /// Those at `place`, a JSON pointer ("/image", "/parts/0"; "" is the payload itself); null if there are none.
  [[nodiscard]] const Buffer* attachment(std::string_view place) const noexcept {
    for (const auto& one : attachments())
      if (one.place == place) return &one.data;
    return nullptr;
  }

  /// The payload itself if it was published as a T, else null.
  template <detail::SharedAsItself T>
  [[nodiscard]] const T* get() const noexcept {
    const bool same = record_->kind == detail::PayloadKind::Typed &&
                      detail::sameType(*record_->extras->type, detail::PayloadTypeOf<T>::table());
    return same ? static_cast<const T*>(record_->payload) : nullptr;
  }

  /// A T made of the payload: a copy of the T that was published, or what boost::json::value_to makes of JSON. Of a binary
  /// one a BinaryMessage, which shares the bytes, or what BinaryMessage::as says: a view that is good as long as a message
  /// that has the payload.
  ///
  /// @return the value, or
  ///   - Errc::PayloadMismatch   binary, or JSON of another shape; for views not binary, or of other elements
  ///   - Errc::ConversionFailed  what was published is of another C++ type that does not convert to JSON
  template <class T>
  [[nodiscard]] expected<T> as() const {
    if constexpr (detail::ViewOfElements<T> || std::is_same_v<T, BinaryMessage>) return ofBinary<T>();
    else return ofOther<T>();
  }

  /// Takes over one reference. For the library's own use.
  static Message adopt(detail::MessageRecord* record) noexcept { return Message(record); }
  /// For the library's own use.
  [[nodiscard]] detail::MessageRecord* record() const noexcept { return record_; }
  /// Gives its reference away; it is then empty. For the library's own use.
  [[nodiscard]] detail::MessageRecord* release() noexcept { return std::exchange(record_, nullptr); }

 private:
  template <class T>
  [[nodiscard]] expected<T> ofBinary() const {
    const auto* message = binary();
    if (!message) return mismatch("is not binary");
    if constexpr (std::is_same_v<T, BinaryMessage>) {
      return *message;
    } else {
      auto viewed = message->as<T>();
      if (viewed) return *viewed;
      return mismatch("is another array: " + viewed.error().message());
    }
  }

  template <class T>
  [[nodiscard]] expected<T> ofOther() const {
    if constexpr (detail::SharedAsItself<T>)
      if (const T* same = get<T>()) return *same;
    if constexpr (detail::TravelsAsBinary<T>) {
      if (binary()) return detail::PayloadForm<T>::read(*binary());
      return mismatch("is not binary");
    } else {
      const auto json = record_->json();
      if (!json) return json.error();
      if (!*json) return mismatch("is binary");
      auto made = [&]() -> expected<T> {
        if constexpr (detail::HasPayloadForm<T>) return detail::PayloadForm<T>::read(**json, attachments());
        else return detail::valueOf<T>(**json);
      }();
      if (made) return made;
      return mismatch("has another shape: " + made.error().message());
    }
  }

  [[nodiscard]] Error mismatch(const std::string& why) const {
    return Error(Errc::PayloadMismatch, "the payload on \"" + std::string(topic()) + "\" " + why);
  }

  static void letGo(detail::MessageRecord* record) noexcept {
    // The only owner needs no atomic change.
    if (record->references.load(std::memory_order_acquire) == 1 ||
        record->references.fetch_sub(1, std::memory_order_acq_rel) == 1)
      record->destroy(record);
  }

  explicit Message(detail::MessageRecord* record) noexcept : record_(record) {}

  [[nodiscard]] const detail::MessageExtras& extras() const noexcept {
    static const auto* none = new detail::MessageExtras();  // never destroyed: read until the process is gone
    return record_->extras ? *record_->extras : *none;
  }

  detail::MessageRecord* record_;
};

}  // namespace qtforge::inline QTFORGE_ABI
