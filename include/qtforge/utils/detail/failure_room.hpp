#pragma once
// qtforge/utils/detail/failure_room.hpp: where a call leaves its error, if it has one.

#include <qtforge/utils/detail/abi.hpp>

#include <memory>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Room for the error of a call: on the way that most calls go nothing is made and nothing ends.
class FailureRoom {
 public:
  FailureRoom() noexcept {}
  FailureRoom(const FailureRoom&) = delete;
  FailureRoom& operator=(const FailureRoom&) = delete;
  ~FailureRoom() {}

  [[nodiscard]] ErrorSink sink() noexcept {
    return {this, [](void* self, std::int32_t code, Text message, Text type, Text traceback) {
              auto& room = *static_cast<FailureRoom*>(self);
              Error told;
              const auto into = sinkInto(told);
              into.set(into.self, code, message, type, traceback);
              new (&room.error_) Error(std::move(told));
            }};
  }

  /// Of a call that failed: its error. Once.
  [[nodiscard, gnu::cold, gnu::noinline]] Error take() {
    Error error(std::move(error_));
    std::destroy_at(&error_);
    return error;
  }

 private:
  union {
    Error error_;
  };
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
