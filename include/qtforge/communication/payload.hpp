#pragma once
// qtforge/communication/payload.hpp: what a message may carry beside JSON: bytes with their meaning.

#include <qtforge/communication/buffer.hpp>
#include <qtforge/utils/error.hpp>

#include <string>
#include <vector>

namespace qtforge::inline QTFORGE_ABI {

/// JSON whose arrays and objects are nested deeper is not queued, retained or taken from Python.
inline constexpr int maxPayloadDepth = 200;

/// Bytes with what is needed to understand them.
struct BinaryMessage {
  Buffer data;
  std::string contentType = "application/octet-stream";  ///< media type (RFC 6838)
  std::string dtype;                                     ///< element type in numpy's notation ("<f4"); empty: bytes
  std::vector<std::size_t> shape;                        ///< elements per dimension, C order; empty: one dimension

  /// The elements where they lie, as a `std::span<const E>` or `ArrayView<const E>`; good as long as `data` or a copy of it.
  /// Without a dtype they can be read as std::uint8_t, and always as std::byte, then in one dimension if there is a dtype.
  /// Needs communication/array_view.hpp, which has the types that E may be.
  ///
  /// @return the elements, or
  ///   - Errc::PayloadMismatch  `dtype` is another (both are named), or of another byte order; `data` is not as many bytes
  ///     as elements of that shape take, or is not aligned for E; more dimensions than an ArrayView has
  template <class T>
  [[nodiscard]] expected<T> as() const;
};

/// Bytes that belong into a JSON payload, which has null there.
struct Attachment {
  std::string place;  ///< JSON pointer (RFC 6901) from the payload's root
  Buffer data;
};

using Attachments = std::vector<Attachment>;

}  // namespace qtforge::inline QTFORGE_ABI
