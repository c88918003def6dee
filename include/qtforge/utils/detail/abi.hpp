#pragma once
// qtforge/utils/detail/abi.hpp: plain data that crosses between binaries: a task, an executor, an error sink.

#include <qtforge/utils/detail/caught_error.hpp>
#include <qtforge/utils/detail/lease.hpp>
#include <qtforge/utils/detail/task_memory.hpp>
#include <qtforge/utils/error.hpp>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string_view>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// Text as two words; std::string_view without a library's promise about its layout.
struct Text {
  const char* data = "";
  std::size_t size = 0;

  Text() = default;
  constexpr Text(std::string_view text) noexcept : data(text.data()), size(text.size()) {}
  constexpr operator std::string_view() const noexcept { return {data, size}; }
};

/// Where a function of another binary leaves its error; `set` copies the texts.
struct ErrorSink {
  void* self = nullptr;
  void (*set)(void* self, std::int32_t code, Text message, Text pythonType, Text traceback) = nullptr;

  void operator()(const Error& error) const {
    const auto message = error.message(), type = error.pythonType(), traceback = error.traceback();
    set(self, static_cast<std::int32_t>(error.code()), std::string_view(message), std::string_view(type),
        std::string_view(traceback));
  }
};

inline ErrorSink sinkInto(Error& error) noexcept {
  return {&error, [](void* self, std::int32_t code, Text message, Text type, Text traceback) {
            *static_cast<Error*>(self) = Error(static_cast<Errc>(code), std::string(std::string_view(message)),
                                               std::string(std::string_view(type)),
                                               std::string(std::string_view(traceback)));
          }};
}

/// Of several failures the first is told. @return false
inline bool keepFirst(Error& first, Error error) noexcept {
  if (first.code() == Errc::Ok) first = std::move(error);
  return false;
}

/// Leaves a failure where the caller wants it. @return its Errc
inline std::int32_t fail(ErrorSink sink, Error error) noexcept {
  if (error.code() == Errc::Ok) error = Error(Errc::Failed, "failed without saying why");
  if (sink.set) sink(error);
  return static_cast<std::int32_t>(error.code());
}

/// Runs `f`, which returns expected<void>, at the edge of a binary: nothing is thrown past it. 0, or the Errc.
template <class F>
std::int32_t guarded(ErrorSink sink, F&& f) noexcept {
  try {
    auto done = std::forward<F>(f)();
    return done ? 0 : fail(sink, done.error());
  } catch (...) {
    return fail(sink, caughtError());
  }
}

/// A function to run once (`run`) or to let go unrun (`drop`); either ends its life.
struct Task {
  void* self = nullptr;
  void (*run)(void* self) = nullptr;
  void (*drop)(void* self) = nullptr;

  template <class F>
  static Task of(F&& f) {
    using Held = std::decay_t<F>;
    return {new Held(std::forward<F>(f)),
            [](void* self) {
              std::unique_ptr<Held> held(static_cast<Held*>(self));
              (*held)();
            },
            [](void* self) { delete static_cast<Held*>(self); }};
  }
};

/// A function to call any number of times, then to destroy.
struct Callback {
  void* self = nullptr;
  void (*call)(void* self) = nullptr;
  void (*destroy)(void* self) = nullptr;
};

/// Owns a Task until it runs.
class UniqueTask {
 public:
  using allocator_type = TaskAllocator<void>;
  [[nodiscard]] allocator_type get_allocator() const noexcept { return {}; }

  explicit UniqueTask(Task task) noexcept : task_(task) {}
  UniqueTask(UniqueTask&& other) noexcept : task_(std::exchange(other.task_, {})) {}
  UniqueTask& operator=(UniqueTask&&) = delete;
  ~UniqueTask() {
    if (task_.drop) task_.drop(task_.self);
  }
  void operator()() {
    const Task task = std::exchange(task_, {});
    if (task.run) task.run(task.self);
  }

 private:
  Task task_;
};

/// Where tasks run. `post` never runs the task before it returns; `destroy` ends the executor's own state.
struct ExecutorTable {
  void (*post)(void* self, Task task);
  void (*destroy)(void* self);
  bool (*waitsForCaller)(void* self) = nullptr;  // whether its tasks can run only once the calling thread goes on
};

struct ExecutorRef {
  const ExecutorTable* table = nullptr;
  void* self = nullptr;
  Lease* lease = nullptr;  // on the library whose code the table is

};

/// Ends the executor's own state with itself.
struct OwnedExecutor : ExecutorRef {
  explicit OwnedExecutor(ExecutorRef executor) noexcept : ExecutorRef(executor) {}
  OwnedExecutor(const OwnedExecutor&) = delete;
  OwnedExecutor& operator=(const OwnedExecutor&) = delete;
  ~OwnedExecutor() {
    if (table && table->destroy) table->destroy(self);
    if (lease) lease->release();
  }
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
