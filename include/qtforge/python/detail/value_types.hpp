#pragma once
// qtforge/python/detail/value_types.hpp: descriptions of the C++ types that python_conversion.hpp lists.

#include <qtforge/communication/detail/value_of.hpp>
#include <qtforge/python/detail/value_kinds.hpp>

namespace qtforge::inline QTFORGE_ABI::python::detail {

template <class T>
consteval ValueType describe();

template <class T>
inline constexpr ValueType valueType = describe<T>();

// ---- Each kind --------------------------------------------------------------------------------------------------------

template <class... T>
inline constexpr std::array<const TypeInfo*, sizeof...(T)> partsOf{&valueType<T>...};

template <class T>
struct TupleParts;
template <template <class...> class Tuple, class... T>
struct TupleParts<Tuple<T...>> {
  static constexpr const auto& parts = partsOf<T...>;
  static void* part(void* value, std::size_t index) {
    void* found = nullptr;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((index == I ? void(found = &std::get<I>(*static_cast<Tuple<T...>*>(value))) : void()), ...);
    }(std::index_sequence_for<T...>());
    return found;
  }
};

template <class T>
struct RecordParts;
template <class T, class... D>
struct RecordParts<boost::mp11::mp_list<T, D...>> {
  static constexpr const auto& parts = partsOf<std::remove_cv_t<qtforge::detail::TypeOfMember<D>>...>;
  static constexpr std::array<Text, sizeof...(D)> names{Text(std::string_view(D::name))...};
  static void* part(void* value, std::size_t index) {
    void* found = nullptr;
    std::size_t at = 0;
    ((index == at++ ? void(found = &(static_cast<T*>(value)->*D::pointer)) : void()), ...);
    return found;
  }
};
template <class T>
using RecordOf = RecordParts<boost::mp11::mp_push_front<
    boost::mp11::mp_rename<qtforge::detail::MembersOf<T>, boost::mp11::mp_list>, T>>;

template <class T>
struct VariantParts;
template <class... T>
struct VariantParts<std::variant<T...>> {
  using Variant = std::variant<T...>;
  static constexpr const auto& parts = partsOf<T...>;
  static void* part(void* value, std::size_t index) {
    void* found = nullptr;
    [&]<std::size_t... I>(std::index_sequence<I...>) {
      ((index == I ? void(found = std::get_if<I>(static_cast<Variant*>(value))) : void()), ...);
    }(std::index_sequence_for<T...>());
    return found;
  }
  static void* emplace(void* value, std::size_t index) {
    try {
      [&]<std::size_t... I>(std::index_sequence<I...>) {
        ((index == I ? void(static_cast<Variant*>(value)->template emplace<I>()) : void()), ...);
      }(std::index_sequence_for<T...>());
      return part(value, index);
    } catch (...) {
      return nullptr;
    }
  }
};

/// By functions of PythonConversion, else of Boost.JSON.
template <class T>
struct Conversion {
  static bool lend(const void* value, void* self, ValueType::Take take, ErrorSink sink) {
    try {
      if constexpr (GoesToPython<T>) {
        const auto& form = PythonConversion<T>::toPython(*static_cast<const T*>(value));
        return take(self, &form);
      } else {
        const boost::json::value form = boost::json::value_from(*static_cast<const T*>(value));
        return take(self, &form);
      }
    } catch (...) {
      sink(qtforge::detail::caughtError());
      return false;
    }
  }

  template <class Form>
  static bool accept(void* value, void* self, ValueType::Fill fill, ErrorSink sink) {
    try {
      Form form{};
      if (!fill(self, &form)) return false;
      auto made = make(std::move(form));
      if (made) *static_cast<T*>(value) = std::move(*made);
      else sink(made.error());
      return made.has_value();
    } catch (...) {
      sink(qtforge::detail::caughtError());
      return false;
    }
  }

 private:
  template <class Form>
  static expected<T> make(Form&& form) {
    if constexpr (ComesFromPython<T>) {
      return PythonConversion<T>::fromPython(std::move(form));
    } else {
      auto made = qtforge::detail::valueOf<T>(form);
      if (made) return made;
      return Error(Errc::ConversionFailed, "a value of another shape expected: " + made.error().message());
    }
  }
};

template <class T>
constexpr void describeSequence(ValueType& type) {
  using Element = typename T::value_type;
  type.kind = TypeKind::List;
  type.element = &valueType<Element>;
  type.each = [](const void* container, void* self, bool (*visit)(void*, Text, const void*)) {
    for (const Element& element : *static_cast<const T*>(container))  // of vector<bool> one that lives as long as the step
      if (!visit(self, Text(), &element)) return false;
    return true;
  };
  type.add = [](void* container, Text, void* self, bool (*fill)(void*, void*)) {
    try {
      Element element{};
      if (!fill(self, &element)) return false;
      auto& to = *static_cast<T*>(container);
      to.insert(to.end(), std::move(element));
      return true;
    } catch (...) {
      return false;
    }
  };
}

template <class T>
constexpr void describeMapping(ValueType& type) {
  using Key = typename T::key_type;
  using Mapped = typename T::mapped_type;
  type.key = &valueType<Key>;
  type.element = &valueType<Mapped>;
  type.entries = [](const void* value, void* self, bool (*take)(void*, const void*, const void*)) {
    for (const auto& [key, mapped] : *static_cast<const T*>(value))
      if (!take(self, &key, &mapped)) return false;
    return true;
  };
  type.insert = [](void* value, void* self, bool (*fill)(void*, void*, void*)) {
    try {
      Key key{};
      Mapped mapped{};
      if (!fill(self, &key, &mapped)) return false;
      static_cast<T*>(value)->insert_or_assign(std::move(key), std::move(mapped));
      return true;
    } catch (...) {
      return false;
    }
  };
}

template <class T>
constexpr void describeNumbers(ValueType& type) {
  using Element = std::remove_cv_t<typename T::value_type>;
  type.element = &valueType<std::conditional_t<std::same_as<Element, std::byte>, std::uint8_t, Element>>;
  type.data = [](const void* value, std::size_t* size) -> const void* {
    const auto& numbers = *static_cast<const T*>(value);
    *size = numbers.size();
    return numbers.data();
  };
  if constexpr (isArray<T>) {
    type.count = std::tuple_size_v<T>;
    type.resize = [](void* value, std::size_t) -> void* { return static_cast<T*>(value)->data(); };
  } else if constexpr (requires(T& t) { t.resize(1); }) {
    type.resize = [](void* value, std::size_t size) -> void* {
      try {
        static_cast<T*>(value)->resize(size);
        return static_cast<T*>(value)->data();
      } catch (...) {
        return nullptr;
      }
    };
  }
}

template <class Parts>
constexpr void describeParts(ValueType& type) {
  type.parts = Parts::parts.data();
  type.count = Parts::parts.size();
  type.part = &Parts::part;
}

template <class T>
constexpr void describeConversion(ValueType& type) {
  // Named by way of T, so that Clang looks at it when T is known and describe() defined.
  using Json = boost::mp11::mp_first<boost::mp11::mp_list<boost::json::value, T>>;
  if constexpr (GoesToPython<T>)
    type.element = &valueType<std::remove_cvref_t<decltype(PythonConversion<T>::toPython(std::declval<const T&>()))>>;
  else if constexpr (!ComesFromPython<T> && boost::json::has_value_from<T>::value)
    type.element = &valueType<Json>;
  if constexpr (GoesToPython<T> || (!ComesFromPython<T> && boost::json::has_value_from<T>::value))
    type.lend = &Conversion<T>::lend;
  if constexpr (ComesFromPython<T>) {
    using Form = typename ArgumentOf<decltype(&PythonConversion<T>::fromPython)>::type;
    type.key = &valueType<Form>;
    type.accept = &Conversion<T>::template accept<Form>;
  } else if constexpr (!GoesToPython<T> && boost::json::has_value_to<T>::value) {
    type.key = &valueType<Json>;
    type.accept = &Conversion<T>::template accept<Json>;
  }
}

template <class T>
consteval ValueType describe() {
  static_assert(isValue<T>, "this type has no counterpart in Python: specialise qtforge::python::PythonConversion for it");
  constexpr ValueKind kind = extendedKindOf<T>();
  ValueType type;
  if constexpr (kind == ValueKind::Plain && (isScalar<T> || std::same_as<T, std::string_view> || std::is_void_v<T>)) {
    static_cast<TypeInfo&>(type) = qtforge::detail::typeInfo<T>;
    return type;
  } else {
    type.size = sizeof(T);
    type.alignment = alignof(T);
    type.kind = TypeKind::Extended;
    type.extended = kind;
    if constexpr (isOptional<T> && kind == ValueKind::Plain) {
      using Element = typename T::value_type;
      static_assert(!isOptional<Element> && !isNothing<Element> && kindOf<Element> != TypeKind::Json &&
                        !std::same_as<Element, PythonValue>,
                    "None of Python would stand for two values of this optional");
      type.kind = TypeKind::Optional;
      type.element = &valueType<Element>;
      type.each = [](const void* value, void* self, bool (*visit)(void*, Text, const void*)) {
        const auto& optional = *static_cast<const T*>(value);
        return !optional || visit(self, Text(), &*optional);
      };
      type.add = [](void* value, Text, void* self, bool (*fill)(void*, void*)) {
        try {
          return fill(self, &static_cast<T*>(value)->emplace());
        } catch (...) {
          return false;
        }
      };
    } else if constexpr (kind == ValueKind::Plain) {
      describeSequence<T>(type);
    } else if constexpr (kind == ValueKind::Numbers || kind == ValueKind::Span) {
      describeNumbers<T>(type);
    } else if constexpr (kind == ValueKind::Tuple || kind == ValueKind::Array) {
      if constexpr (kind == ValueKind::Tuple) {
        describeParts<TupleParts<T>>(type);
      } else {
        type.element = &valueType<typename T::value_type>;
        type.count = std::tuple_size_v<T>;
        type.part = [](void* value, std::size_t index) -> void* { return static_cast<T*>(value)->data() + index; };
      }
    } else if constexpr (kind == ValueKind::Record) {
      describeParts<RecordOf<T>>(type);
      type.names = RecordOf<T>::names.data();
    } else if constexpr (kind == ValueKind::Variant) {
      describeParts<VariantParts<T>>(type);
      type.index = [](const void* value) -> std::size_t {
        const auto& variant = *static_cast<const T*>(value);
        return variant.valueless_by_exception() ? std::variant_size_v<T> : variant.index();
      };
      type.emplace = &VariantParts<T>::emplace;
    } else if constexpr (kind == ValueKind::Dict) {
      describeMapping<T>(type);
    } else if constexpr (kind == ValueKind::Duration || kind == ValueKind::TimePoint) {
      type.floating = Micros<T>::floating;
      type.micros = &Micros<T>::get;
      type.setMicros = &Micros<T>::set;
    } else if constexpr (kind == ValueKind::Converted) {
      describeConversion<T>(type);
    } else if constexpr (kind == ValueKind::Any) {
      type.apart = [](const void* value) { return static_cast<const T*>(value)->apart(); };
      type.setJson = [](void* value, boost::json::value* json, Attachments* attachments) {
        *static_cast<T*>(value) = T(std::move(*json), std::move(*attachments));
      };
      type.setBinary = [](void* value, BinaryMessage* binary) { *static_cast<T*>(value) = T(std::move(*binary)); };
    }
    return type;
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::python::detail
