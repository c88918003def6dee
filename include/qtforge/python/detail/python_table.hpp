#pragma once
// qtforge/python/detail/python_table.hpp: the interpreter as other binaries see it; needs no Python header.

#include <qtforge/communication/message.hpp>
#include <qtforge/utils/detail/abi.hpp>

namespace qtforge::inline QTFORGE_ABI::detail {

/// One argument of a Python call, by its simplest form.
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

/// Append-only.
struct PythonTable {
  std::uint32_t version = 1;
  std::uint32_t size = sizeof(PythonTable);
  void* (*makeExecutor)(ErrorSink sink) = nullptr;
  void (*freeExecutor)(void* executor) = nullptr;
  std::int32_t (*execute)(void* executor, Text code, Text filename, ErrorSink sink) = nullptr;
  std::int32_t (*call)(void* executor, Text name, const PythonArgument* arguments, std::size_t count,
                       boost::json::value* result, Attachments* attachments, ErrorSink sink) = nullptr;
};

}  // namespace qtforge::inline QTFORGE_ABI::detail
