#pragma once
// qtforge/communication/detail/value_of.hpp: JSON as a C++ type, with what the type's own conversion says against it.

#include <qtforge/utils/detail/caught_error.hpp>

#include <boost/json/value_to.hpp>

#include <utility>

namespace qtforge::inline QTFORGE_ABI::detail {

template <class T>
concept ReadsItself = requires(const boost::json::value& from) { tag_invoke(boost::json::value_to_tag<T>(), from); };

/// What boost::json::value_to makes of `from`.
///
/// @return the value, or
///   - Errc::PayloadMismatch  with the reason, or whatever its tag_invoke throws as a qtforge::Exception
template <class T>
expected<T> valueOf(const boost::json::value& from) {
  if constexpr (ReadsItself<T>) {  // try_value_to would make one code of all exceptions
    try {
      return boost::json::value_to<T>(from);
    } catch (...) {
      return caughtError();
    }
  } else {
    auto made = boost::json::try_value_to<T>(from);
    if (made) return std::move(*made);
    return Error(Errc::PayloadMismatch, made.error().message());
  }
}

}  // namespace qtforge::inline QTFORGE_ABI::detail
