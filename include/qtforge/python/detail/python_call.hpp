#pragma once
// qtforge/python/detail/python_call.hpp: arguments of a Python call where they lie, and the result it is to have.

#include <qtforge/python/detail/python_table.hpp>
#include <qtforge/python/detail/value_types.hpp>
#include <qtforge/utils/detail/failure_room.hpp>

#include <array>
#include <string_view>
#include <type_traits>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::python {

/// A keyword argument; made by `arg("name") = value`.
template <class T>
struct KeywordArgument {
  std::string_view name;
  T value;
};

namespace detail {

class KeywordName {
 public:
  explicit constexpr KeywordName(std::string_view name) noexcept : name_(name) {}

  /// Refers to an lvalue, and holds anything else.
  template <class T>
  KeywordArgument<T> operator=(T&& value) const {
    return {name_, std::forward<T>(value)};
  }

 private:
  std::string_view name_;
};

template <class T>
inline constexpr bool isKeyword = false;
template <class T>
inline constexpr bool isKeyword<KeywordArgument<T>> = true;

template <class T>
struct ValueOf : std::type_identity<T> {};
template <class T>
struct ValueOf<KeywordArgument<T>> : std::type_identity<std::remove_cvref_t<T>> {};

template <class T>
concept IsText = std::convertible_to<const T&, std::string_view> && !std::same_as<T, std::nullptr_t> &&
                 !std::same_as<T, PythonValue> && !HasOwnConversion<T>;

/// One argument, which outlives it.
template <class T>
class PassedArgument {
  using Value = typename ValueOf<T>::type;
  static_assert(!IsText<Value> ? isValue<Value> : true,
                "an argument has no counterpart in Python: specialise qtforge::python::PythonConversion for its type");

 public:
  static constexpr const TypeInfo* type = [] {
    if constexpr (IsText<Value>) return &valueType<std::string_view>;
    else return &valueType<Value>;
  }();

  explicit PassedArgument(const T& argument) : held_(valueOf(argument)) {}

  [[nodiscard]] const void* address() const noexcept {
    if constexpr (IsText<Value>) return &held_;
    else return held_;
  }

 private:
  using Held = std::conditional_t<IsText<Value>, std::string_view, const Value*>;

  static Held valueOf(const T& argument) {
    if constexpr (isKeyword<T>) {
      if constexpr (IsText<Value>) return argument.value;
      else return &argument.value;
    } else {
      if constexpr (IsText<Value>) return argument;
      else return &argument;
    }
  }

  Held held_;
};

/// Whether no positional argument comes after one with a keyword.
template <class... Args>
consteval bool inOrder() {
  bool keyword = false, good = true;
  ((good = good && (isKeyword<Args> || !keyword), keyword = keyword || isKeyword<Args>), ...);
  return good;
}

template <class... Args>
inline constexpr std::array<const TypeInfo*, sizeof...(Args)> typesOf{PassedArgument<Args>::type...};

template <class... Args>
inline constexpr std::size_t keywordsIn = (std::size_t{0} + ... + (isKeyword<Args> ? 1 : 0));

template <class R, class... Args>
inline constexpr qtforge::detail::PythonCallShape callShape{
    typesOf<Args...>.data(), sizeof...(Args), keywordsIn<Args...>, &valueType<R>,
    ((std::is_arithmetic_v<Args> && isNumber<Args>) && ...)};

/// What comes back from Python by itself, not as part of something that Python has.
template <class R>
concept PythonResult = std::is_void_v<R> || (std::default_initializable<R> && isValue<R> && !isSpan<R> &&
                                             !std::same_as<R, std::string_view>);

/// Whether the caller says that it holds the GIL.
enum class CallerHolds : bool { Nothing, Gil };

/// Calls `f(const PythonCall&, ErrorSink)` with a place for a result of type R, and returns that.
///
/// @param f  returns 0, or leaves an error in the sink
template <class R, class F, class... Args>
expected<R> withCall(CallerHolds holds, F&& f, const Args&... arguments) {
  static_assert(PythonResult<R>, "no such value comes from Python: it must own what it holds, have a default constructor "
                                 "and, if it is a type of your own, a qtforge::python::PythonConversion");
  static_assert(inOrder<Args...>(), "positional arguments come before those with keywords");
  const std::tuple<PassedArgument<Args>...> passed{PassedArgument<Args>(arguments)...};
  const auto values = std::apply([](const auto&... each) {
    return std::array<const void*, sizeof...(Args)>{each.address()...};
  }, passed);
  qtforge::detail::PythonCall call{&callShape<R, Args...>, values.data(), nullptr, nullptr, holds == CallerHolds::Gil};
  std::array<Text, keywordsIn<Args...>> keywords;
  if constexpr (!keywords.empty()) {
    std::size_t at = 0;
    const auto name = [&](const auto& argument) {
      if constexpr (isKeyword<std::remove_cvref_t<decltype(argument)>>) keywords[at++] = argument.name;
    };
    (name(arguments), ...);
    call.keywords = keywords.data();
  }
  qtforge::detail::FailureRoom failure;
  if constexpr (std::is_void_v<R>) {
    if (f(call, failure.sink()) != 0) return failure.take();
    return {};
  } else {
    R result{};
    call.out = &result;
    if (f(call, failure.sink()) != 0) return failure.take();
    return expected<R>(std::move(result));
  }
}

/// A share of an executor or of a function.
class PythonHandle {
 public:
  using Table = qtforge::detail::PythonTable;

  PythonHandle() noexcept = default;
  PythonHandle(const Table* table, void* handle) noexcept : table_(table), handle_(handle) {}
  PythonHandle(const PythonHandle& other) noexcept : table_(other.table_), handle_(other.handle_) {
    if (handle_) table_->keep(handle_);
  }
  PythonHandle(PythonHandle&& other) noexcept : table_(other.table_), handle_(std::exchange(other.handle_, nullptr)) {}
  PythonHandle& operator=(PythonHandle other) noexcept {
    std::swap(table_, other.table_);
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~PythonHandle() {
    if (handle_) table_->freeExecutor(handle_);
  }

  [[nodiscard]] const Table& table() const noexcept { return *table_; }
  [[nodiscard]] void* get() const noexcept { return handle_; }
  [[nodiscard]] explicit operator bool() const noexcept { return handle_ != nullptr; }

 private:
  const Table* table_ = nullptr;
  void* handle_ = nullptr;
};

}  // namespace detail

/// Names a keyword argument: `executor.callFunction<double>("f", x, arg("scale") = 2.0)`.
[[nodiscard]] constexpr detail::KeywordName arg(std::string_view name) noexcept { return detail::KeywordName(name); }

}  // namespace qtforge::inline QTFORGE_ABI::python
