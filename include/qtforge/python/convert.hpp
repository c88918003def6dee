#pragma once
// qtforge/python/convert.hpp: Python values to boost::json and back, directly; bytes go beside, as attachments.

#include <qtforge/python/detail/json_from_python.hpp>
#include <qtforge/python/detail/json_to_python.hpp>

namespace qtforge::inline QTFORGE_ABI::python {

/// A Python value as JSON, with the bytes in it.
struct Converted {
  boost::json::value json;
  Attachments attachments;  ///< json has null at their places
};

/// dict, list, tuple, str, int within 64 bits, float (NaN and infinity too), bool, None and bytes, and what stands for
/// other types: integers by their `__index__`, the rest as the package's _plain.py says.
///
/// @param what  names the value in errors: "message" gives `message["a"][2]: set does not go into JSON...`
/// @return the value, or
///   - Errc::ConversionFailed  with the place and the reason
inline expected<Converted> fromPython(PyObject* object, const std::string& what, const Gil& gil) {
  detail::FromPython conversion(gil);
  Converted result;
  if (!conversion.convert(object, result.json))
    return Error(Errc::ConversionFailed, what + conversion.place + ": " + conversion.reason);
  result.attachments = std::move(conversion.attachments);
  return result;
}

/// A new dict, list or scalar; attachments come back as bytes, those of Python as themselves. Null with a Python error set
/// on failure.
inline Ref toPython(const boost::json::value& value, const Attachments& attachments, const Gil& gil) {
  Ref root = detail::toPythonValue(value, gil);
  for (const auto& attachment : attachments) {
    if (!root) break;
    Ref bytes = bytesOf(attachment.data, gil);
    if (!bytes || !detail::putAt(root, attachment.place, std::move(bytes), gil)) return {};
  }
  return root;
}

}  // namespace qtforge::inline QTFORGE_ABI::python
