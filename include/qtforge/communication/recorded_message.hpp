#pragma once
// qtforge/communication/recorded_message.hpp: a message as a recording has it.

#include <qtforge/communication/payload.hpp>

#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>

namespace qtforge::inline QTFORGE_ABI {

/// What was published, equal bit for bit. See Message for what the fields mean.
struct RecordedMessage {
  using Time = std::chrono::sys_time<std::chrono::nanoseconds>;

  std::string topic;
  std::string sender;
  std::uint64_t id = 0;
  Time time;
  boost::json::object headers;
  std::string replyTo;
  std::uint64_t correlation = 0;
  std::variant<boost::json::value, BinaryMessage> payload;
  Attachments attachments;

  /// The JSON payload, or null for a binary one.
  [[nodiscard]] const boost::json::value* json() const noexcept { return std::get_if<boost::json::value>(&payload); }
  /// The binary payload, or null for a JSON one.
  [[nodiscard]] const BinaryMessage* binary() const noexcept { return std::get_if<BinaryMessage>(&payload); }
};

}  // namespace qtforge::inline QTFORGE_ABI
