// blur: three box means, one after the other, which nobody can tell from a Gaussian blur.

#include "plugins/box_mean.hpp"

#include <qtforge/plugin.hpp>

namespace {

class Blur : public qtforge::Implements<Blur, image_filter::Filter> {
 public:
  qtforge::expected<qtforge::BinaryMessage> apply(qtforge::BinaryMessage image, double amount) const {
    const auto size = image_filter::sizeOf(image);
    if (!size) return size.error();
    const auto radius = image_filter::radiusOf(amount, *size, 1.0 / 40);
    if (!radius) return radius.error();

    std::vector<float> values(image.data.begin(), image.data.end());
    for (int i = 0; i < 3; ++i) image_filter::boxMean(values, *size, *radius);
    image.data = image_filter::toBytes(values);
    return image;
  }

  std::string title() const { return "Blur"; }

  static constexpr auto methods() { return std::tuple(bind<"apply">(&Blur::apply), bind<"title">(&Blur::title)); }
};

}  // namespace

QTFORGE_PLUGIN(Blur);
