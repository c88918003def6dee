#pragma once
// qtforge/python/python_value.hpp: what goes into a Python call and what comes out of it.

#include <qtforge/communication/bus.hpp>
#include <qtforge/python/detail/python_table.hpp>

#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

#include <concepts>
#include <limits>
#include <ostream>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// A result of Python, of the kinds that JSON has, or bytes.
class PythonValue {
 public:
  PythonValue() = default;
  explicit PythonValue(boost::json::value json, Attachments attachments = {})
      : json_(std::move(json)), attachments_(std::move(attachments)) {}

  [[nodiscard]] const boost::json::value& json() const noexcept { return json_; }
  /// Bytes inside; json() has null at their places.
  [[nodiscard]] const Attachments& attachments() const noexcept { return attachments_; }

  /// The value as T: bool, numbers (exactly, or an error), std::string, Buffer and std::vector<std::uint8_t> for bytes,
  /// boost::json types, containers of them, and what boost::json::value_to makes.
  ///
  /// @return the value, or
  ///   - Errc::ConversionFailed  with what was expected and what came
  template <class T>
  [[nodiscard]] expected<T> as() const {
    if constexpr (std::is_same_v<T, boost::json::value>) {
      return json_;
    } else if constexpr (std::is_same_v<T, Buffer> || std::is_same_v<T, std::vector<std::uint8_t>>) {
      if (attachments_.size() != 1 || !attachments_[0].place.empty()) return mismatch("bytes");
      const auto& bytes = attachments_[0].data;
      if constexpr (std::is_same_v<T, Buffer>) return bytes;
      else return std::vector<std::uint8_t>(bytes.begin(), bytes.end());
    } else if constexpr (std::is_same_v<T, bool>) {
      if (const bool* value = json_.if_bool()) return T(*value);
      return mismatch("bool");
    } else if constexpr (std::integral<T>) {
      return integer<T>();
    } else if constexpr (std::floating_point<T>) {
      if (!json_.is_number()) return mismatch("float");
      return json_.is_double() ? static_cast<T>(json_.get_double())
             : json_.is_int64() ? static_cast<T>(json_.get_int64())
                                : static_cast<T>(json_.get_uint64());
    } else if constexpr (std::is_same_v<T, std::string>) {
      if (const auto* text = json_.if_string()) return std::string(text->data(), text->size());
      return mismatch("str");
    } else {
      auto value = boost::json::try_value_to<T>(json_);
      if (!value) return mismatch("a value of another shape");
      return std::move(*value);
    }
  }

  /// As as<T>(), where C++ asks for a T. Throws qtforge::Exception where as<T>() has an error.
  template <class T>
    requires(boost::json::has_value_to<T>::value && !std::is_same_v<T, boost::json::value> &&
             !std::is_same_v<T, PythonValue> && !std::is_reference_v<T> && !std::is_pointer_v<T> &&
             !std::is_same_v<T, char>)
  operator T() const {
    return as<T>().value();
  }

  friend bool operator==(const PythonValue& a, const PythonValue& b) {
    if (a.json_ != b.json_ || a.attachments_.size() != b.attachments_.size()) return false;
    for (std::size_t i = 0; i < a.attachments_.size(); ++i)
      if (a.attachments_[i].place != b.attachments_[i].place || !(a.attachments_[i].data == b.attachments_[i].data))
        return false;
    return true;
  }
  template <class T>
    requires boost::json::has_value_from<T>::value
  friend bool operator==(const PythonValue& value, const T& other) {
    return value.json_ == boost::json::value_from(other);
  }

  /// As JSON text.
  friend std::ostream& operator<<(std::ostream& out, const PythonValue& value) {
    return out << boost::json::serialize(value.json_);
  }

 private:
  Error mismatch(const char* wanted) const {
    const bool bytes = !attachments_.empty() && attachments_[0].place.empty();
    static constexpr const char* names[] = {"None", "bool", "int", "int", "float", "str", "list", "dict"};
    const char* came = bytes ? "bytes" : names[static_cast<std::size_t>(json_.kind())];
    return Error(Errc::ConversionFailed, std::string(wanted) + " expected, " + came + " came");
  }

  template <class T>
  expected<T> integer() const {
    if (json_.is_int64() && std::in_range<T>(json_.get_int64())) return static_cast<T>(json_.get_int64());
    if (json_.is_uint64() && std::in_range<T>(json_.get_uint64())) return static_cast<T>(json_.get_uint64());
    if (!json_.is_int64() && !json_.is_uint64()) return mismatch("int");
    return Error(Errc::ConversionFailed, "int from " + std::to_string(std::numeric_limits<T>::min()) + " to " +
                                             std::to_string(std::numeric_limits<T>::max()) + " expected, " +
                                             boost::json::serialize(json_) + " came");
  }

  boost::json::value json_;
  Attachments attachments_;
};

namespace detail {

template <class T, class Element>
concept ContiguousOf = requires(const T& t) {
  { std::data(t) } -> std::same_as<const Element*>;
  { std::size(t) } -> std::convertible_to<std::size_t>;
};

/// One argument on its way into Python: as it is where the table knows the type, else as JSON.
class Argument {
 public:
  using Plain = qtforge::detail::PythonArgument;

  template <class T>
  explicit Argument(const T& value) {
    using Kind = Plain::Kind;
    if constexpr (std::is_same_v<T, std::nullptr_t>) {
      plain_.kind = Kind::None;
    } else if constexpr (std::is_same_v<T, bool>) {
      plain_.kind = Kind::Bool;
      plain_.boolean = value;
    } else if constexpr (std::signed_integral<T>) {
      plain_.kind = Kind::Int;
      plain_.integer = value;
    } else if constexpr (std::unsigned_integral<T>) {
      plain_.kind = Kind::Uint;
      plain_.natural = value;
    } else if constexpr (std::floating_point<T>) {
      plain_.kind = Kind::Real;
      plain_.real = static_cast<double>(value);
    } else if constexpr (std::convertible_to<const T&, std::string_view>) {
      const std::string_view text = value;
      set(Kind::String, text.data(), text.size());
    } else if constexpr (std::is_same_v<T, boost::json::value>) {
      set(Kind::Json, &value, 0);
    } else if constexpr (std::is_same_v<T, BinaryMessage>) {
      set(Kind::Binary, &value, 0);
    } else if constexpr (ContiguousOf<T, double>) {
      set(Kind::Reals, std::data(value), std::size(value));
    } else if constexpr (ContiguousOf<T, std::int64_t>) {
      set(Kind::Ints, std::data(value), std::size(value));
    } else if constexpr (std::is_same_v<T, PythonValue>) {
      set(Kind::Json, &value.json(), 0);
    } else {
      json_ = boost::json::value_from(value);
      held_ = true;
      plain_.kind = Kind::Json;
    }
  }

  /// Valid as long as this object and the value it was made from.
  [[nodiscard]] Plain plain() const {
    Plain result = plain_;
    if (held_) result.data = &json_;
    return result;
  }

 private:
  void set(Plain::Kind kind, const void* data, std::size_t size) {
    plain_.kind = kind;
    plain_.data = data;
    plain_.size = size;
  }

  Plain plain_;
  boost::json::value json_;
  bool held_ = false;
};

}  // namespace detail
}  // namespace qtforge::inline QTFORGE_ABI::python
