#pragma once
// qtforge/qt/detail/bytes.hpp: QByteArray as a Buffer, and a Buffer as a QByteArray.

#include <qtforge/communication/buffer.hpp>

#include <QByteArray>

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

namespace qtforge::inline QTFORGE_ABI::qt::detail {

/// Shares the bytes, since a QByteArray copies them before it changes what is shared; but for those of
/// QByteArray::fromRawData and literals, which are not its own.
inline Buffer bufferOf(QByteArray bytes) {
  if (bytes.isEmpty()) return {};
  if (bytes.capacity() == 0) bytes = QByteArray(bytes.constData(), bytes.size());
  const std::span view(reinterpret_cast<const std::uint8_t*>(bytes.constData()), static_cast<std::size_t>(bytes.size()));
  return Buffer::of(view, std::move(bytes));
}

/// A QByteArray that shared foreign bytes would not keep them alive.
inline QByteArray copyOf(const Buffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), static_cast<qsizetype>(buffer.size())};
}

}  // namespace qtforge::inline QTFORGE_ABI::qt::detail
