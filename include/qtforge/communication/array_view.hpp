#pragma once
// qtforge/communication/array_view.hpp: the numbers in a binary message, as a span or with their dimensions.

#include <qtforge/communication/payload.hpp>
#include <qtforge/utils/error.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cassert>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <type_traits>

namespace qtforge::inline QTFORGE_ABI {

namespace detail {

template <class T>
concept ComplexNumber = requires(T number) {
  { number.real() } -> std::floating_point;
  { number.imag() } -> std::floating_point;
} && sizeof(T) == 2 * sizeof(typename T::value_type);

template <class T>
concept CharacterType = std::same_as<T, char> || std::same_as<T, wchar_t> || std::same_as<T, char8_t> ||
                        std::same_as<T, char16_t> || std::same_as<T, char32_t>;

}  // namespace detail

/// What arrays may consist of: integers, `float`, `double`, `long double`, `std::complex` of them, and `std::byte`, as which
/// every array can be read. No `bool`: a byte of a message need not be one; read "|b1" as std::uint8_t.
template <class T>
concept ArrayElement = (std::integral<T> && !std::same_as<T, bool> && !detail::CharacterType<T>) ||
                       std::floating_point<T> || detail::ComplexNumber<T> || std::same_as<T, std::byte>;

namespace detail {

/// As numpy names them: 'i', 'u', 'f' or 'c'; 'V' for plain memory.
struct ElementType {
  char kind;
  std::size_t size, alignment;
};

template <ArrayElement T>
consteval ElementType elementType() {
  const char kind = std::same_as<T, std::byte> ? 'V'
                    : ComplexNumber<T>         ? 'c'
                    : std::floating_point<T>   ? 'f'
                    : std::signed_integral<T>  ? 'i'
                                               : 'u';
  return {kind, sizeof(T), alignof(T)};
}

/// "<f4"; empty for plain memory.
inline std::string dtypeOf(const ElementType& element) {
  if (element.kind == 'V') return {};
  const char order = element.size == 1 ? '|' : std::endian::native == std::endian::little ? '<' : '>';
  return std::string{order, element.kind} + std::to_string(element.size);
}

/// Whether such elements can be read in memory that is described so.
inline bool readsAs(const ElementType& element, std::string_view dtype) {
  if (element.kind == 'V') return true;
  if (dtype.empty() || dtype == "|b1") return element.kind == 'u' && element.size == 1;
  const std::string expected = dtypeOf(element);
  const bool anyOrder = dtype[0] == '=' || (element.size == 1 && (dtype[0] == '<' || dtype[0] == '>'));
  return dtype == expected || (anyOrder && dtype.substr(1) == std::string_view(expected).substr(1));
}

/// How many bytes elements of that size take; false if that is more than memory can have.
inline bool bytesOf(std::span<const std::size_t> shape, std::size_t element, std::size_t& bytes) {
  bytes = element;
  bool large = false;
  for (const auto extent : shape) large = __builtin_mul_overflow(bytes, extent, &bytes) || large;
  const bool none = std::find(shape.begin(), shape.end(), 0u) != shape.end();
  if (none) bytes = 0;
  return none || !large;
}

/// "(2, 3)"
inline std::string textOfShape(std::span<const std::size_t> shape) {
  std::string text = "(";
  for (const auto extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + ")";
}

/// Whether `message` can be read as such elements; see BinaryMessage::as.
inline expected<void> checkElements(const BinaryMessage& message, const ElementType& element) {
  const std::string bytes = std::to_string(message.data.size()) + " bytes of dtype \"" + message.dtype + "\"";
  const auto mismatch = [&](const std::string& why) { return Error(Errc::PayloadMismatch, bytes + " " + why); };
  if (!readsAs(element, message.dtype)) return mismatch("cannot be read as \"" + dtypeOf(element) + "\"");
  if (message.data.size() % element.size != 0)
    return mismatch("are no whole number of elements of " + std::to_string(element.size));
  std::size_t taken = 0;
  const bool shaped = element.kind != 'V' || message.dtype.empty();  // else its elements are others
  if (shaped && !message.shape.empty() &&
      (!bytesOf(message.shape, element.size, taken) || taken != message.data.size()))
    return mismatch("are no array of shape " + textOfShape(message.shape));
  if (reinterpret_cast<std::uintptr_t>(message.data.data()) % element.alignment != 0)
    return mismatch("begin at an address that is no multiple of " + std::to_string(element.alignment) +
                    ": copy them to read them");
  return {};
}

}  // namespace detail

/// Elements in several dimensions, in C order and without gaps, which somebody else owns.
///
/// @par Thread safety  as that of the elements.
template <class T>
class ArrayView {
 public:
  static constexpr std::size_t maxRank = 8;

  /// Has no elements, in one dimension.
  ArrayView() noexcept = default;
  /// @param data   as many elements as `shape` says; they must live as long as this and its copies
  /// @param shape  elements per dimension, of at most maxRank; of none it is a single element
  ArrayView(T* data, std::span<const std::size_t> shape) noexcept : data_(data), rank_(shape.size()) {
    assert(shape.size() <= maxRank);
    std::copy(shape.begin(), shape.end(), shape_.begin());
  }
  ArrayView(T* data, std::initializer_list<std::size_t> shape) noexcept
      : ArrayView(data, std::span(shape.begin(), shape.size())) {}

  [[nodiscard]] T* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t rank() const noexcept { return rank_; }
  [[nodiscard]] std::span<const std::size_t> shape() const noexcept { return {shape_.data(), rank_}; }
  [[nodiscard]] std::size_t extent(std::size_t dimension) const noexcept {
    assert(dimension < rank_);
    return shape_[dimension];
  }
  /// How many elements lie between neighbours in that dimension.
  [[nodiscard]] std::size_t stride(std::size_t dimension) const noexcept {
    assert(dimension < rank_);
    return product(dimension + 1);
  }
  /// All elements.
  [[nodiscard]] std::size_t size() const noexcept { return product(0); }
  [[nodiscard]] bool empty() const noexcept { return size() == 0; }
  [[nodiscard]] std::span<T> span() const noexcept { return {data_, size()}; }

  /// One element. As many indices as dimensions, each within its extent: only assertions look.
  template <std::integral... Index>
  [[nodiscard]] T& operator()(Index... index) const noexcept {
    const std::array<std::size_t, sizeof...(index)> at{static_cast<std::size_t>(index)...};
    assert(isInside(at));
    return data_[offsetOf(at)];
  }

  /// The same, looked at.
  /// @throws qtforge::Exception  with Errc::InvalidArgument for other indices, which it names
  template <std::integral... Index>
  T& at(Index... index) const {
    const std::array<std::size_t, sizeof...(index)> at{static_cast<std::size_t>(index)...};
    if (!isInside(at))
      throw Exception(Error(Errc::InvalidArgument, "the array of shape " + detail::textOfShape(shape()) +
                                                       " has no element " + detail::textOfShape(at)));
    return data_[offsetOf(at)];
  }

  /// What lies at `index` of the first dimension: an array of one dimension less. Only assertions look at the index.
  [[nodiscard]] ArrayView operator[](std::size_t index) const noexcept {
    assert(rank_ > 0 && index < shape_[0]);
    return ArrayView(data_ + index * stride(0), shape().subspan(1));
  }

 private:
  [[nodiscard]] std::size_t product(std::size_t from) const noexcept {
    std::size_t product = 1;
    for (std::size_t i = from; i < rank_; ++i) product *= shape_[i];
    return product;
  }
  [[nodiscard]] bool isInside(std::span<const std::size_t> at) const noexcept {
    return std::equal(at.begin(), at.end(), shape().begin(), shape().end(), std::less<>());
  }
  [[nodiscard]] std::size_t offsetOf(std::span<const std::size_t> at) const noexcept {
    std::size_t offset = 0;
    for (std::size_t i = 0; i < at.size(); ++i) offset = offset * shape_[i] + at[i];
    return offset;
  }

  T* data_ = nullptr;
  std::size_t rank_ = 1;
  std::array<std::size_t, maxRank> shape_{};
};

namespace detail {

template <class T>
struct ViewedElement {};
template <class T>
struct ViewedElement<std::span<T>> : std::type_identity<T> {};
template <class T>
struct ViewedElement<ArrayView<T>> : std::type_identity<T> {};

/// std::span or ArrayView of constant elements: messages do not change.
template <class T>
concept ViewOfElements = requires { typename ViewedElement<T>::type; } &&
                         std::is_const_v<typename ViewedElement<T>::type> &&
                         ArrayElement<std::remove_const_t<typename ViewedElement<T>::type>>;

}  // namespace detail

template <class T>
expected<T> BinaryMessage::as() const {
  static_assert(detail::ViewOfElements<T>, "binary messages are read as std::span<const E> or ArrayView<const E>, where E "
                                           "is a number or std::byte");
  using Element = typename detail::ViewedElement<T>::type;
  if (auto checked = detail::checkElements(*this, detail::elementType<std::remove_const_t<Element>>()); !checked)
    return checked.error();
  auto* elements = reinterpret_cast<Element*>(data.data());
  const std::size_t count = data.size() / sizeof(Element);
  if constexpr (std::same_as<T, std::span<Element>>) {
    return T(elements, count);
  } else {
    const bool flat = shape.empty() || (std::same_as<Element, const std::byte> && !dtype.empty());
    if (flat) return T(elements, {count});
    if (shape.size() > T::maxRank)
      return Error(Errc::PayloadMismatch, "an array of shape " + detail::textOfShape(shape) + " has more than " +
                                              std::to_string(T::maxRank) + " dimensions");
    return T(elements, shape);
  }
}

/// A binary message of `values`, which are moved, not copied.
///
/// @param shape  elements per dimension, C order; empty: one dimension
/// @return the message with its dtype, or
///   - Errc::InvalidArgument  `shape` takes another number of elements
template <ArrayElement T>
[[nodiscard]] expected<BinaryMessage> arrayMessage(std::vector<T> values, std::vector<std::size_t> shape = {}) {
  if (shape.empty()) shape = {values.size()};
  std::size_t bytes = 0;
  if (!detail::bytesOf(shape, sizeof(T), bytes) || bytes != values.size() * sizeof(T))
    return Error(Errc::InvalidArgument,
                 std::to_string(values.size()) + " elements are no array of shape " + detail::textOfShape(shape));
  BinaryMessage message;
  const std::span memory(reinterpret_cast<const std::uint8_t*>(values.data()), bytes);
  if (bytes != 0) message.data = Buffer::of(memory, std::move(values));
  message.dtype = detail::dtypeOf(detail::elementType<T>());
  message.shape = std::move(shape);
  return message;
}

}  // namespace qtforge::inline QTFORGE_ABI
