#pragma once
// qtforge/communication/detail/built_message.hpp: a message whose JSON is built in place, in the binary that builds it.

#include <qtforge/communication/detail/bus_table.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Begun, filled, ended, published; what is not published is dropped. On one thread, the last begun ends first.
class BuiltMessage {
 public:
  explicit BuiltMessage(const BusTable& table) noexcept : table_(table) {}
  BuiltMessage(const BuiltMessage&) = delete;
  BuiltMessage& operator=(const BuiltMessage&) = delete;
  ~BuiltMessage() { abandon(); }

  /// It may be begun anew.
  void abandon() noexcept {
    if (!build_.record) return;
    table_.abandonBuild(&build_);
    build_ = {};
  }

  /// For the topic or publisher of `args`. @return nothing, or Errc::InvalidTopic
  expected<void> begin(const PublishArgs& args) {
    Error error;
    if (table_.beginBuild(args.topic, args.publisher, &build_, sinkInto(error)) != 0) return error;
    return {};
  }

  /// To be filled; null at first.
  [[nodiscard]] boost::json::value& json() const noexcept { return *build_.value; }

  /// It is complete: `args` publish it.
  ///
  /// @param trusted  the library built it, and has looked how deep it is
  /// @return nothing, or Errc::LimitExceeded
  expected<void> end(PublishArgs& args, bool trusted) {
    Error error;
    if (table_.endBuild(&build_, trusted, sinkInto(error)) != 0) return error;
    args.payload = {PayloadKind::Json, build_.value, nullptr};
    args.build = &build_;
    return {};
  }

 private:
  const BusTable& table_;
  MessageBuild build_;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
