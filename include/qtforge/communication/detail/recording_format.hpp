#pragma once
// qtforge/communication/detail/recording_format.hpp: the lines of a recording. See docs/guides/recording.md.

#include <qtforge/communication/detail/json_reader.hpp>
#include <qtforge/communication/detail/json_writer.hpp>
#include <qtforge/communication/message.hpp>
#include <qtforge/communication/recorded_message.hpp>

#include <chrono>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::detail {

inline constexpr std::string_view recordingFormat = "qtforge.recording";
inline constexpr std::int64_t recordingVersion = 1;

inline std::string recordingHeader() {
  return "{\"format\":\"" + std::string(recordingFormat) + "\",\"version\":" + std::to_string(recordingVersion) + "}\n";
}

inline std::int64_t nanosecondsOf(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

/// What a line tells of a message.
struct MessageFrame {
  explicit MessageFrame(const Message& m)
      : topic(m.topic()), sender(m.sender()), id(m.id()), time(nanosecondsOf(m.time())), headers(m.headers()),
        replyTo(m.replyTo()), correlation(m.correlation()), json(m.json()), binary(m.binary()),
        attachments(m.attachments()) {}
  explicit MessageFrame(const RecordedMessage& m)
      : topic(m.topic), sender(m.sender), id(m.id), time(m.time.time_since_epoch().count()), headers(m.headers),
        replyTo(m.replyTo), correlation(m.correlation), json(m.json()), binary(m.binary()), attachments(m.attachments) {}

  std::string_view topic, sender;
  std::uint64_t id;
  std::int64_t time;
  const boost::json::object& headers;
  std::string_view replyTo;
  std::uint64_t correlation;
  const boost::json::value* json;
  const BinaryMessage* binary;
  const Attachments& attachments;
};

/// Appends one line, or nothing: then it returns why the message has no place in a recording.
inline const char* appendFrame(std::string& out, const MessageFrame& frame) {
  const auto begin = out.size();
  const auto refused = [&](const char* why) {
    out.resize(begin);
    return why;
  };
  JsonWriter write(out);
  const auto text = [&](std::string_view name, std::string_view value) {
    out += name;
    write.text(value);
  };
  text("{\"topic\":", frame.topic);
  text(",\"sender\":", frame.sender);
  out += ",\"id\":";
  appendNumber(out, frame.id);
  out += ",\"time\":";
  appendNumber(out, frame.time);
  if (!frame.headers.empty()) {
    out += ",\"headers\":";
    if (!write.object(frame.headers)) return refused("its headers are nested too deeply");
  }
  if (!frame.replyTo.empty()) text(",\"reply_to\":", frame.replyTo);
  if (frame.correlation != 0) {
    out += ",\"correlation\":";
    appendNumber(out, frame.correlation);
  }
  if (frame.binary) {
    out += ",\"binary\":{\"data\":";
    write.bytes(frame.binary->data);
    text(",\"content_type\":", frame.binary->contentType);
    if (!frame.binary->dtype.empty()) text(",\"dtype\":", frame.binary->dtype);
    if (!frame.binary->shape.empty()) {
      char separator = '[';
      out += ",\"shape\":";
      for (const auto extent : frame.binary->shape) {
        out += std::exchange(separator, ',');
        appendNumber(out, extent);
      }
      out += ']';
    }
    out += '}';
  } else if (frame.json) {
    out += ",\"json\":";
    if (!write.value(*frame.json)) return refused("its payload is nested too deeply");
  } else {
    return refused("its payload is neither JSON nor binary");
  }
  if (!frame.attachments.empty()) {
    char separator = '[';
    out += ",\"attachments\":";
    for (const auto& attachment : frame.attachments) {
      out += std::exchange(separator, ',');
      text("{\"place\":", attachment.place);
      out += ",\"data\":";
      write.bytes(attachment.data);
      out += '}';
    }
    out += ']';
  }
  out += "}\n";
  return nullptr;
}

inline void appendLost(std::string& out, std::uint64_t count, std::string_view reason) {
  out += "{\"lost\":";
  appendNumber(out, count);
  out += ",\"reason\":";
  JsonWriter(out).text(reason);
  out += "}\n";
}

/// Takes a line apart. What is not as it must be is left in `problem`.
class FrameReader {
 public:
  explicit FrameReader(boost::json::value&& line) : line_(std::move(line)) {
    if (!line_.is_object()) problem = "an object expected";
  }

  [[nodiscard]] bool isLost() const { return line_.is_object() && line_.get_object().contains("lost"); }
  std::uint64_t lost() { return number(line_, "lost"); }

  RecordedMessage message() {
    RecordedMessage m;
    m.topic = text(line_, "topic");
    m.sender = text(line_, "sender");
    m.id = number(line_, "id");
    m.time = time();
    if (auto* headers = member(line_, "headers", false)) {
      if (headers->is_object()) m.headers = std::move(headers->get_object());
      else wrong("\"headers\": an object expected");
    }
    m.replyTo = text(line_, "reply_to", false);
    m.correlation = number(line_, "correlation", false);
    if (auto* binary = member(line_, "binary", false)) m.payload = binaryMessage(*binary);
    else if (auto* json = member(line_, "json")) m.payload = std::move(*json);
    if (auto* attachments = member(line_, "attachments", false)) readAttachments(*attachments, m.attachments);
    return m;
  }

  std::string problem;  // empty: none

 private:
  void wrong(std::string reason) {
    if (problem.empty()) problem = std::move(reason);
  }

  boost::json::value* member(boost::json::value& of, std::string_view name, bool needed = true) {
    auto* object = of.if_object();
    auto* found = object ? object->if_contains(name) : nullptr;
    if (!found && needed) wrong('"' + std::string(name) + "\" is missing");
    return found;
  }

  std::string text(boost::json::value& of, std::string_view name, bool needed = true) {
    auto* found = member(of, name, needed);
    if (found && found->is_string()) return std::string(std::string_view(found->get_string()));
    if (found) wrong('"' + std::string(name) + "\": text expected");
    return {};
  }

  std::uint64_t unsignedOf(const boost::json::value& value, std::string_view name) {
    if (value.is_uint64()) return value.get_uint64();
    if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
    wrong('"' + std::string(name) + "\": an integer of at least 0 expected");
    return 0;
  }
  std::uint64_t number(boost::json::value& of, std::string_view name, bool needed = true) {
    auto* found = member(of, name, needed);
    return found ? unsignedOf(*found, name) : 0;
  }

  RecordedMessage::Time time() {
    auto* found = member(line_, "time");
    if (found && !found->is_int64()) wrong("\"time\": an integer expected, nanoseconds");
    return RecordedMessage::Time(std::chrono::nanoseconds(found && found->is_int64() ? found->get_int64() : 0));
  }

  Buffer bytes(boost::json::value& of) {
    auto* found = member(of, "data");
    auto* base64 = found ? found->if_string() : nullptr;
    auto decoded = base64 ? decodeBase64(*base64) : std::nullopt;
    if (decoded) return Buffer(std::move(*decoded));
    if (found) wrong("\"data\": base64 expected");
    return {};
  }

  BinaryMessage binaryMessage(boost::json::value& from) {
    BinaryMessage made;
    made.data = bytes(from);
    made.contentType = text(from, "content_type");
    made.dtype = text(from, "dtype", false);
    if (auto* shape = member(from, "shape", false)) {
      if (!shape->is_array()) wrong("\"shape\": an array expected");
      else
        for (const auto& extent : shape->get_array()) made.shape.push_back(unsignedOf(extent, "shape"));
    }
    return made;
  }

  void readAttachments(boost::json::value& from, Attachments& out) {
    if (!from.is_array()) return wrong("\"attachments\": an array expected");
    for (auto& attachment : from.get_array()) {
      auto place = text(attachment, "place");
      out.push_back({std::move(place), bytes(attachment)});
    }
  }

  boost::json::value line_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
