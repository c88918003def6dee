#pragma once
// qtforge/communication/payload.hpp: what a message may carry beside JSON: bytes with their meaning.

#include <qtforge/communication/buffer.hpp>

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
};

/// Bytes that belong into a JSON payload, which has null there.
struct Attachment {
  std::string place;  ///< JSON pointer (RFC 6901) from the payload's root
  Buffer data;
};

using Attachments = std::vector<Attachment>;

}  // namespace qtforge::inline QTFORGE_ABI
