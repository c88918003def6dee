#pragma once
// qtforge/python/detail/python_table.hpp: the interpreter as other binaries see it; needs no Python header.

#include <qtforge/communication/message.hpp>
#include <qtforge/core/detail/interface_info.hpp>
#include <qtforge/utils/detail/abi.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// One argument of PythonTable::call, by its simplest form.
struct PythonArgument {
  enum class Kind : std::int32_t { None, Bool, Int, Uint, Real, String, Reals, Ints, Json, Binary };
  Kind kind = Kind::None;
  union {
    bool boolean;
    std::int64_t integer;
    std::uint64_t natural;
    double real;
    const void* data = nullptr;  // of String, Reals, Ints; the value itself of Json and Binary
  };
  std::size_t size = 0;
};

/// What the calls of one place in the code have in common.
struct PythonCallShape {
  const TypeInfo* const* types = nullptr;  // of the arguments
  std::size_t count = 0;
  std::size_t keywordCount = 0;  // of them, the last
  const TypeInfo* result = nullptr;
  bool numbers = false;  // all arguments are, and none has a keyword
};

/// Arguments and result of a call, as they lie at the caller's.
struct PythonCall {
  const PythonCallShape* shape = nullptr;
  const void* const* values = nullptr;
  const Text* keywords = nullptr;
  void* out = nullptr;  // a value of that type that is made already; null for void
  bool gilHeld = false;  // the caller holds the GIL, and knows it
};

/// Append-only. The handles of executors and functions are counted.
struct PythonTable {
  std::uint32_t version = 1;
  std::uint32_t size = sizeof(PythonTable);
  void* (*makeExecutor)(ErrorSink sink) = nullptr;
  /// Gives up a share of an executor or function, on any thread.
  void (*freeExecutor)(void* handle) = nullptr;
  std::int32_t (*execute)(void* executor, Text code, Text filename, ErrorSink sink) = nullptr;
  /// For binaries that do not know callNamed.
  std::int32_t (*call)(void* executor, Text name, const PythonArgument* arguments, std::size_t count,
                       boost::json::value* result, Attachments* attachments, ErrorSink sink) = nullptr;

  /// Another share of an executor or function, on any thread.
  void (*keep)(void* handle) = nullptr;
  std::int32_t (*evaluate)(void* executor, Text expression, const TypeInfo* result, void* out, ErrorSink sink) = nullptr;
  std::int32_t (*callNamed)(void* executor, Text name, const PythonCall* call, ErrorSink sink) = nullptr;
  /// A function of that name, or null.
  void* (*findFunction)(void* executor, Text name, ErrorSink sink) = nullptr;
  std::int32_t (*callFound)(void* function, const PythonCall* call, ErrorSink sink) = nullptr;
  /// Runs the task, soon, on the thread for calls that nobody waits for, without the GIL. Dropped when Python has ended.
  void (*post)(Task task) = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
