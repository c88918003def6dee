#pragma once
// qtforge/communication/detail/payload_form.hpp: types that travel in a form that their headers here give them.

#include <qtforge/communication/payload.hpp>
#include <qtforge/utils/error.hpp>

#include <boost/json/value.hpp>

#include <concepts>

namespace qtforge::inline QTFORGE_ABI::detail {

/// JSON with the bytes in it, as it is published.
struct JsonWithBytes {
  boost::json::value json;
  Attachments attachments;  ///< json has null at their places
};

/// Specialised for types for which Boost.JSON has not enough to say, with
///
///     using Form = JsonWithBytes;  // or BinaryMessage
///     static expected<Form> make(const T& value);
///     static expected<T> read(const boost::json::value& json, const Attachments& attachments);  // or (const BinaryMessage&)
template <class T>
struct PayloadForm {};

template <class T>
concept HasPayloadForm = requires { typename PayloadForm<T>::Form; };

template <class T>
concept TravelsAsBinary = HasPayloadForm<T> && std::same_as<typename PayloadForm<T>::Form, BinaryMessage>;

}  // namespace qtforge::inline QTFORGE_ABI::detail
