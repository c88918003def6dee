#pragma once
// qtforge/python/python_value.hpp: what comes out of Python where nothing else is asked for.

#include <qtforge/communication/bus.hpp>
#include <qtforge/python/detail/python_call.hpp>

#include <boost/json/serialize.hpp>
#include <boost/json/value_from.hpp>
#include <boost/json/value_to.hpp>

#include <concepts>
#include <limits>
#include <optional>
#include <ostream>
#include <string>
#include <type_traits>
#include <vector>

namespace qtforge::inline QTFORGE_ABI::python {

/// A result of Python, of the kinds that JSON has, or bytes: a BinaryMessage, an array of numpy.
class PythonValue {
 public:
  PythonValue() = default;
  explicit PythonValue(boost::json::value json, Attachments attachments = {})
      : json_(std::move(json)), attachments_(std::move(attachments)) {}
  explicit PythonValue(BinaryMessage binary) : binary_(std::move(binary)) {}

  [[nodiscard]] const boost::json::value& json() const noexcept { return json_; }
  /// Bytes inside; json() has null at their places.
  [[nodiscard]] const Attachments& attachments() const noexcept { return attachments_; }
  /// What came as a qtforge.BinaryMessage, an array of numpy or another typed buffer, else null; json() is null then.
  [[nodiscard]] const BinaryMessage* binary() const noexcept { return binary_ ? &*binary_ : nullptr; }

  /// The value as T: bool, numbers (exactly, or an error), std::string, Buffer and std::vector<std::uint8_t> for bytes,
  /// BinaryMessage, boost::json types, containers of them, and what boost::json::value_to makes. Where the type is known
  /// before the call, `callFunction<T>` can do more.
  ///
  /// @return the value, or
  ///   - Errc::ConversionFailed  with what was expected and what came
  template <class T>
  [[nodiscard]] expected<T> as() const {
    if constexpr (std::is_same_v<T, BinaryMessage>) {
      if (binary_) return *binary_;
      return mismatch("BinaryMessage");
    } else if constexpr (std::is_same_v<T, boost::json::value>) {
      if (binary_) return mismatch("a JSON value");
      return json_;
    } else if constexpr (std::is_same_v<T, Buffer> || std::is_same_v<T, std::vector<std::uint8_t>>) {
      if (!binary_ && (attachments_.size() != 1 || !attachments_[0].place.empty())) return mismatch("bytes");
      const auto& bytes = binary_ ? binary_->data : attachments_[0].data;
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
    } else if constexpr (qtforge::detail::TravelsAsBinary<T>) {
      if (binary_) return qtforge::detail::PayloadForm<T>::read(*binary_);
      auto bytes = as<Buffer>();
      if (!bytes) return bytes.error();
      BinaryMessage binary;
      binary.data = std::move(*bytes);
      return qtforge::detail::PayloadForm<T>::read(binary);
    } else {
      if (binary_) return mismatch("a value of another shape");
      auto value = [&]() -> expected<T> {
        if constexpr (qtforge::detail::HasPayloadForm<T>)
          return qtforge::detail::PayloadForm<T>::read(json_, attachments_);
        else return qtforge::detail::valueOf<T>(json_);
      }();
      if (value) return value;
      return Error(Errc::ConversionFailed, mismatch("a value of another shape").message() + ": " + value.error().message());
    }
  }

  /// As as<T>(), where C++ asks for a T. Throws qtforge::Exception where as<T>() has an error.
  template <class T>
    requires((boost::json::has_value_to<T>::value || std::is_same_v<T, BinaryMessage> ||
              qtforge::detail::HasPayloadForm<T>) &&
             !std::is_same_v<T, boost::json::value> &&
             !std::is_same_v<T, PythonValue> && !std::is_reference_v<T> && !std::is_pointer_v<T> &&
             !std::is_same_v<T, char>)
  operator T() const {
    return as<T>().value();
  }

  friend bool operator==(const PythonValue& a, const PythonValue& b) {
    if (a.json_ != b.json_ || a.attachments_.size() != b.attachments_.size() || !sameBinary(a, b)) return false;
    for (std::size_t i = 0; i < a.attachments_.size(); ++i)
      if (a.attachments_[i].place != b.attachments_[i].place || !(a.attachments_[i].data == b.attachments_[i].data))
        return false;
    return true;
  }
  template <class T>
    requires boost::json::has_value_from<T>::value
  friend bool operator==(const PythonValue& value, const T& other) {
    return !value.binary_ && value.json_ == boost::json::value_from(other);
  }

  /// As JSON text; of a BinaryMessage how much it is of what.
  friend std::ostream& operator<<(std::ostream& out, const PythonValue& value) {
    if (value.binary_) return out << value.binary_->data.size() << " bytes of " << value.binary_->contentType;
    return out << boost::json::serialize(value.json_);
  }

  /// For the library's own use.
  [[nodiscard]] detail::AnyParts apart() const noexcept { return {&json_, &attachments_, binary()}; }

 private:
  static bool sameBinary(const PythonValue& a, const PythonValue& b) {
    if (!a.binary_ || !b.binary_) return !a.binary_ && !b.binary_;
    const auto &x = *a.binary_, &y = *b.binary_;
    return x.data == y.data && x.contentType == y.contentType && x.dtype == y.dtype && x.shape == y.shape;
  }

  Error mismatch(const char* wanted) const {
    const bool bytes = !attachments_.empty() && attachments_[0].place.empty();
    static constexpr const char* names[] = {"None", "bool", "int", "int", "float", "str", "list", "dict"};
    const char* came = binary_ ? "BinaryMessage" : bytes ? "bytes" : names[static_cast<std::size_t>(json_.kind())];
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
  std::optional<BinaryMessage> binary_;
};

}  // namespace qtforge::inline QTFORGE_ABI::python
