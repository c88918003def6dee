#pragma once
// qtforge/communication/detail/payload_type.hpp: C++ types that are published as themselves: which they are, and what
// other binaries must know of one.

#include <qtforge/communication/detail/layout.hpp>
#include <qtforge/communication/detail/payload_form.hpp>
#include <qtforge/utils/detail/abi.hpp>

#include <boost/json/value.hpp>
#include <boost/json/value_from.hpp>

#include <concepts>
#include <cstddef>
#include <new>
#include <string>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

/// What can be done with a payload of a type that other binaries do not know.
struct PayloadType {
  std::uint64_t fingerprint;  // of name and layout: the same in two binaries that agree on both
  Text name;
  std::size_t size, alignment;
  bool onlyMemory;  // its destructor does nothing
  std::int32_t (*construct)(void* place, void* from, bool move, ErrorSink sink);
  void (*destroy)(void* object);
  std::int32_t (*toJson)(const void* object, boost::json::value* out, ErrorSink sink);
  Lease* (*retainLease)();  // on the code of all these
  /// Not null: it is the publisher's own, and never kept. Before anybody keeps the message, or sees its JSON, this makes it
  /// JSON: it sets PublishArgs::payload and build.
  std::int32_t (*build)(void* object, ErrorSink sink) = nullptr;
};

/// The payload in another language's form, beside its JSON: for those who know it by its `destroy`.
struct PayloadShadow {
  void* object = nullptr;
  void (*destroy)(void* object) = nullptr;  // on any thread
};

template <class T>
concept ConvertsItself = requires(boost::json::value& to, const T& from) {
  tag_invoke(boost::json::value_from_tag(), to, from);
};

/// Types that are shared between publisher and handlers as they are: classes described with Boost.Describe, or that have
/// a tag_invoke for boost::json::value_from of their own. Not those with members that refer to somebody else's memory.
template <class T>
concept SharedAsItself = std::is_class_v<T> && !std::is_const_v<T> && std::move_constructible<T> && !HasPayloadForm<T> &&
                         (isDescribed<T> ? ownsItsMembers<T> : ConvertsItself<T>) && boost::json::has_value_from<T>::value;

template <SharedAsItself T>
struct PayloadTypeOf {
  static std::int32_t construct(void* place, void* from, bool move, ErrorSink sink) {
    return guarded(sink, [&]() -> expected<void> {
      auto* source = static_cast<T*>(from);
      if constexpr (std::copy_constructible<T>) {
        if (!move) {
          new (place) T(std::as_const(*source));
          return {};
        }
      }
      new (place) T(std::move(*source));
      return {};
    });
  }
  static std::int32_t toJson(const void* object, boost::json::value* out, ErrorSink sink) {
    return guarded(sink, [&]() -> expected<void> {
      boost::json::value_from(*static_cast<const T*>(object), *out);
      return {};
    });
  }

  static const PayloadType& table() {
    static const std::string name = boost::core::type_name<T>();
    static const PayloadType made{fingerprintOf<T>(),
                                  std::string_view(name),
                                  sizeof(T),
                                  alignof(T),
                                  std::is_trivially_destructible_v<T>,
                                  &construct,
                                  [](void* object) { static_cast<T*>(object)->~T(); },
                                  &toJson,
                                  &retainOwnLease};
    return made;
  }
};

inline bool sameType(const PayloadType& a, const PayloadType& b) noexcept {
  return &a == &b || (a.fingerprint == b.fingerprint && std::string_view(a.name) == std::string_view(b.name));
}

enum class PayloadKind : std::uint8_t { None, Json, Binary, Typed };

/// A payload where it is.
struct PayloadView {
  PayloadKind kind = PayloadKind::None;
  const void* object = nullptr;       // boost::json::value, BinaryMessage, or of `type`
  const PayloadType* type = nullptr;  // for Typed
};

/// For error messages.
inline std::string describe(const PayloadView& payload) {
  switch (payload.kind) {
    case PayloadKind::Json: return "JSON";
    case PayloadKind::Binary: return "binary";
    case PayloadKind::Typed: return std::string(std::string_view(payload.type->name));
    case PayloadKind::None: break;
  }
  return "nothing";
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
