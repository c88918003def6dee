#pragma once
// image_filter.hpp: the interfaces that the host and its plugins share, and what they mean by an image.

#include <qtforge/communication/payload.hpp>
#include <qtforge/core/interface.hpp>
#include <qtforge/utils/error.hpp>

#include <cstddef>
#include <string>

namespace image_filter {

/// Makes another picture of a picture; `amount` says how much of it to do, from 0, which changes nothing, to 1.
using Filter =
    qtforge::Interface<"image.filter/1",
                       qtforge::Method<"apply(image, amount)", qtforge::BinaryMessage(qtforge::BinaryMessage, double)>,
                       qtforge::Method<"title()", std::string()>>;

/// Reads picture files of any kind, as RGB, and writes PNG files.
using Files = qtforge::Interface<"image.files/1", qtforge::Method<"load(path)", qtforge::BinaryMessage(std::string)>,
                                 qtforge::Method<"save(image, path)", void(qtforge::BinaryMessage, std::string)>>;

/// An image is a BinaryMessage of dtype "|u1" (uint8) and shape (height, width, channels).
struct Size {
  std::size_t height, width, channels;

  [[nodiscard]] std::size_t pixels() const noexcept { return height * width; }
};

/// @return the size of an image, or
///   - Errc::InvalidArgument  `image` is none, or its bytes are more or fewer than its shape says
inline qtforge::expected<Size> sizeOf(const qtforge::BinaryMessage& image) {
  const auto wrong = [](const char* text) { return qtforge::Error(qtforge::Errc::InvalidArgument, text); };
  if (image.dtype != "|u1" || image.shape.size() != 3)
    return wrong("no image: dtype \"|u1\" and shape (height, width, channels) expected");
  std::size_t bytes = 1;
  for (const auto extent : image.shape) {
    if (extent == 0 || bytes > image.data.size() / extent) return wrong("no image: the bytes do not fill its shape");
    bytes *= extent;
  }
  if (bytes != image.data.size()) return wrong("no image: there are more bytes than its shape says");
  return Size{image.shape[0], image.shape[1], image.shape[2]};
}

}  // namespace image_filter
