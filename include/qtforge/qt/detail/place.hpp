#pragma once
// qtforge/qt/detail/place.hpp: where in a value its conversion is, written out only for errors and bytes.

#include <qtforge/communication/payload.hpp>
#include <qtforge/utils/error.hpp>

#include <cstddef>
#include <string>
#include <string_view>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

/// A member or an element of what another place is, which outlives it.
class Place {
 public:
  Place() = default;
  Place(const Place& outer, std::string_view key) noexcept : outer_(&outer), key_(key), depth_(outer.depth_ + 1) {}
  Place(const Place& outer, std::size_t index) noexcept : outer_(&outer), index_(index), depth_(outer.depth_ + 1) {}

  /// As a JSON pointer (RFC 6901).
  [[nodiscard]] std::string pointer() const {
    if (!outer_) return {};
    auto text = outer_->pointer() + '/';
    if (!key_.data()) return text + std::to_string(index_);
    for (const char c : key_) c == '~' ? text += "~0" : c == '/' ? text += "~1" : text += c;
    return text;
  }

  /// @throws qtforge::Exception  with the place and `reason`
  [[noreturn]] void fail(const std::string& reason, Errc code = Errc::ConversionFailed) const {
    throw Exception(Error(code, outer_ ? "at \"" + pointer() + "\": " + reason : reason));
  }

  /// For the place of an array or object.
  void checkDepth() const {
    if (depth_ >= maxPayloadDepth)
      fail("nested deeper than " + std::to_string(maxPayloadDepth) + " arrays and objects", Errc::LimitExceeded);
  }

 private:
  const Place* outer_ = nullptr;
  std::string_view key_;  // without data: it has an index
  std::size_t index_ = 0;
  int depth_ = 0;
};

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail
