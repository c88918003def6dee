#pragma once
// qtforge/python/detail/value_name.hpp: what Python calls the types that C++ expects, for errors.

#include <qtforge/python/detail/value_type.hpp>

#include <string>

namespace qtforge::inline QTFORGE_ABI::python::detail {

/// What Python calls a type.
inline std::string nameOf(const TypeInfo& type) {
  switch (type.kind) {
    case TypeKind::Bool: return "bool";
    case TypeKind::Int:
    case TypeKind::Uint: return "int";
    case TypeKind::Real: return "float";
    case TypeKind::Text:
    case TypeKind::TextView: return "str";
    case TypeKind::Optional: return nameOf(*type.element) + " or None";
    case TypeKind::List:
    case TypeKind::JsonArray: return "list";
    case TypeKind::Map:
    case TypeKind::JsonObject: return "dict";
    case TypeKind::Binary: return "BinaryMessage";
    default: break;
  }
  const auto& more = static_cast<const ValueType&>(type);
  switch (extendedKind(type)) {
    case ValueKind::Nothing: return "None";
    case ValueKind::Numbers:
    case ValueKind::Array: return "list";
    case ValueKind::Bytes: return "bytes";
    case ValueKind::Tuple: return "tuple";
    case ValueKind::Record:
    case ValueKind::Dict: return "dict";
    case ValueKind::Duration: return "timedelta";
    case ValueKind::TimePoint: return "datetime";
    case ValueKind::Path: return "Path";
    case ValueKind::Converted: return more.key ? nameOf(*more.key) : "nothing";
    case ValueKind::Variant: break;
    default: return "a value";
  }
  std::string text;
  for (std::size_t i = 0; i < more.count; ++i)
    text += (i == 0 ? "" : i + 1 == more.count ? " or " : ", ") + nameOf(*more.parts[i]);
  return text;
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
