#pragma once
// qtforge/python/detail/value_type.hpp: types of arguments and results of Python calls, as data that binaries exchange.

#include <qtforge/communication/payload.hpp>
#include <qtforge/core/detail/interface_info.hpp>

#include <boost/json/value.hpp>

#include <cstddef>
#include <cstdint>

namespace qtforge::inline QTFORGE_ABI::python::detail {

using qtforge::detail::ErrorSink;
using qtforge::detail::Text;
using qtforge::detail::TypeInfo;
using qtforge::detail::TypeKind;

/// What an Extended type is. New ones are appended.
enum class ValueKind : std::int32_t {
  Plain = 0,      // no Extended one
  Nothing = 1,    // std::nullptr_t, std::monostate
  Numbers = 2,    // a container of numbers that lie side by side
  Span = 3,       // numbers that somebody else owns
  Bytes = 4,      // Buffer
  Any = 5,        // PythonValue
  Tuple = 6,
  Array = 7,      // a list of fixed length
  Record = 8,     // a described class
  Variant = 9,
  Dict = 10,
  Duration = 11,
  TimePoint = 12,  // of the system's clock
  Path = 13,
  Converted = 14,  // by functions, from and to values of another type
};

/// A PythonValue, taken apart.
struct AnyParts {
  const boost::json::value* json = nullptr;
  const Attachments* attachments = nullptr;
  const BinaryMessage* binary = nullptr;  // null: it is JSON
};

/// A TypeInfo with what the kinds need that methods of interfaces do not have. Fields are set for the kinds that are named.
struct ValueType : TypeInfo {
  using Take = bool (*)(void* self, const void* value);
  using Fill = bool (*)(void* self, void* value);

  ValueKind extended = ValueKind::Plain;
  bool floating = false;                   // Duration: of a floating-point representation
  std::uint64_t count = 0;                 // of parts; Numbers: how many there always are, 0: any number
  const TypeInfo* const* parts = nullptr;  // Tuple, Array, Record, Variant
  const Text* names = nullptr;             // Record
  const TypeInfo* key = nullptr;           // Dict; Converted: what it is made from, null: nothing
  /// Numbers, Span: where they lie.
  const void* (*data)(const void* value, std::size_t* size) = nullptr;
  /// Numbers: memory for so many; null: there is none.
  void* (*resize)(void* value, std::size_t size) = nullptr;
  /// Tuple, Array, Record, Variant: one of its parts; of a Variant the one it has.
  void* (*part)(void* value, std::size_t index) = nullptr;
  /// Variant: which part it has; `count` for none.
  std::size_t (*index)(const void* value) = nullptr;
  /// Variant: makes it have a new part; null: that failed.
  void* (*emplace)(void* value, std::size_t index) = nullptr;
  /// Dict: shows the entries until one is refused. @return whether none was
  bool (*entries)(const void* value, void* self, bool (*take)(void* self, const void* key, const void* value)) = nullptr;
  /// Dict: takes in an entry that `fill` makes. @return false: `fill` refused, or there is no memory
  bool (*insert)(void* value, void* self, bool (*fill)(void* self, void* key, void* value)) = nullptr;
  /// Duration, TimePoint (since 1970): microseconds, rounded down. @return false: not within 64 bits
  bool (*micros)(const void* value, std::int64_t* out) = nullptr;
  /// Duration, TimePoint. @return false: it cannot have that value exactly
  bool (*setMicros)(void* value, std::int64_t micros) = nullptr;
  /// Converted: shows the value of type `element` that stands for it. @return false: refused; or, an error told, failed
  bool (*lend)(const void* value, void* self, Take take, ErrorSink sink) = nullptr;
  /// Converted: makes it of a value of type `key`. @return false: refused; or, an error told, failed
  bool (*accept)(void* value, void* self, Fill fill, ErrorSink sink) = nullptr;
  AnyParts (*apart)(const void* value) = nullptr;                                                         // Any
  void (*setJson)(void* value, boost::json::value* json, Attachments* attachments) = nullptr;             // Any: moves
  void (*setBinary)(void* value, BinaryMessage* binary) = nullptr;                                        // Any: moves
};

/// Whether the type's description is a ValueType.
inline ValueKind extendedKind(const TypeInfo& type) noexcept {
  return type.kind == TypeKind::Extended ? static_cast<const ValueType&>(type).extended : ValueKind::Plain;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
