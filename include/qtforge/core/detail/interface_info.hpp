#pragma once
// qtforge/core/detail/interface_info.hpp: a typed interface as data, and an implementation of it, as binaries and
// languages exchange them.

#include <qtforge/utils/detail/abi.hpp>

#include <cstddef>
#include <cstdint>
#include <string>

namespace qtforge::inline QTFORGE_ABI::detail {

enum class TypeKind : std::int32_t {
  None = 0,  // no type that crosses
  Void = 1,
  Bool = 2,
  Int = 3,
  Uint = 4,
  Real = 5,
  Text = 6,
  TextView = 7,
  Optional = 8,
  List = 9,
  Map = 10,
  Json = 11,
  JsonObject = 12,
  JsonArray = 13,
  Binary = 14,
  Extended = 15,  // in calls of Python functions only: a python::detail::ValueType says more
};

/// One type of a parameter or result, with what other languages need to read and make its values.
struct TypeInfo {
  TypeKind kind = TypeKind::None;
  std::uint32_t size = 0, alignment = 0;
  const TypeInfo* element = nullptr;  // of Optional, List and Map
  void (*construct)(void* place) = nullptr;
  void (*destroy)(void* object) = nullptr;
  /// Shows each element of an Optional, List or Map until `visit` refuses one. @return whether it refused none
  bool (*each)(const void* container, void* self, bool (*visit)(void* self, Text key, const void* element)) = nullptr;
  /// Lets `fill` make a new element and takes it in. @return false: `fill` refused, or there is no memory
  bool (*add)(void* container, Text key, void* self, bool (*fill)(void* self, void* element)) = nullptr;
};

struct ParameterInfo {
  Text name;
  const TypeInfo* type = nullptr;
  bool byReference = false;  // const T&: who is called must not move from it
};

/// Where an error of a call goes. @return 0, or its Errc
using CallResult = std::int32_t;

/// One method of one implementation; really CallResult (*)(void* self, void* result, const ErrorSink*, Passed...), where
/// `result` is memory that a value is constructed in. Catches what the method throws.
using AnyThunk = void (*)();

struct MethodInfo {
  Text name;
  const TypeInfo* result = nullptr;
  const ParameterInfo* parameters = nullptr;
  std::uint32_t count = 0;
  /// Calls a thunk of this method with arguments that lie somewhere; they may be moved from.
  CallResult (*invoke)(AnyThunk thunk, void* self, void* result, void* const* arguments, const ErrorSink* sink) = nullptr;
};

struct InterfaceInfo {
  std::uint32_t size = sizeof(InterfaceInfo);  // append-only
  std::uint32_t count = 0;
  std::uint64_t fingerprint = 0;  // of the methods: their order, names and types
  Text name;
  const MethodInfo* methods = nullptr;
};

/// What stands for an implementation whose methods are no C++ functions: all calls go through one.
struct ErasedImplementation {
  /// `info` is the caller's, of the method at `index`; `result` a value that is made already, null for void.
  CallResult (*invoke)(const ErasedImplementation* self, std::uint32_t index, const MethodInfo* info, void* result,
                       const void* const* arguments, const ErrorSink* sink) = nullptr;
};

/// How an interface of one plugin is called, as long as the plugin lives.
struct Implementation {
  const AnyThunk* methods = nullptr;    // in the interface's order; null: `self` is an ErasedImplementation
  void* self = nullptr;
  const InterfaceInfo* info = nullptr;  // the plugin's own description; null: it has none
};

// ---- What people read -------------------------------------------------------------------------------------------------

inline std::string spelled(const TypeInfo& type) {
  const auto of = [&](const char* container) { return std::string(container) + '<' + spelled(*type.element) + '>'; };
  switch (type.kind) {
    case TypeKind::None:
    case TypeKind::Extended: return "?";
    case TypeKind::Void: return "void";
    case TypeKind::Bool: return "bool";
    case TypeKind::Int: return type.size == sizeof(int) ? "int" : "std::int" + std::to_string(type.size * 8) + "_t";
    case TypeKind::Uint: return type.size == sizeof(int) ? "unsigned" : "std::uint" + std::to_string(type.size * 8) + "_t";
    case TypeKind::Real: return type.size == sizeof(float) ? "float" : "double";
    case TypeKind::Text: return "std::string";
    case TypeKind::TextView: return "std::string_view";
    case TypeKind::Optional: return of("std::optional");
    case TypeKind::List: return of("std::vector");
    case TypeKind::Map: return "std::map<std::string, " + spelled(*type.element) + '>';
    case TypeKind::Json: return "boost::json::value";
    case TypeKind::JsonObject: return "boost::json::object";
    case TypeKind::JsonArray: return "boost::json::array";
    case TypeKind::Binary: return "BinaryMessage";
  }
  return "?";
}

/// As in C++: "BinaryMessage apply(BinaryMessage, double)".
inline std::string spelled(const MethodInfo& method) {
  std::string text = spelled(*method.result) + ' ' + std::string(std::string_view(method.name)) + '(';
  for (std::uint32_t i = 0; i < method.count; ++i) {
    const auto& parameter = method.parameters[i];
    const auto type = spelled(*parameter.type);
    text += (i ? ", " : "") + (parameter.byReference ? "const " + type + '&' : type);
  }
  return text + ')';
}

/// In what the caller's idea of an interface and the plugin's differ: every method that does.
inline std::string differences(const InterfaceInfo& caller, const InterfaceInfo& plugin) {
  const auto find = [](const InterfaceInfo& in, std::string_view name) -> const MethodInfo* {
    for (std::uint32_t i = 0; i < in.count; ++i)
      if (std::string_view(in.methods[i].name) == name) return &in.methods[i];
    return nullptr;
  };
  std::string text;
  const auto tell = [&](const std::string& difference) { text += (text.empty() ? "" : "; ") + difference; };
  for (std::uint32_t i = 0; i < caller.count; ++i) {
    const auto& wanted = caller.methods[i];
    const auto* given = find(plugin, wanted.name);
    if (!given) tell("the plugin has no '" + spelled(wanted) + "'");
    else if (const auto theirs = spelled(*given), ours = spelled(wanted); ours != theirs)
      tell("the caller has '" + ours + "', the plugin '" + theirs + "'");
  }
  for (std::uint32_t i = 0; i < plugin.count; ++i)
    if (!find(caller, plugin.methods[i].name)) tell("the caller has no '" + spelled(plugin.methods[i]) + "'");
  return text.empty() ? "the methods are the same in another order" : text;
}

inline Error interfaceMissing(const InterfaceInfo& wanted) {
  return Error(Errc::InterfaceMissing, "it does not implement the interface \"" + std::string(std::string_view(wanted.name)) + '"');
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
