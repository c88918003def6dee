// paint: strokes of a brush, by the filter of Kuwahara (1976). Of the four squares that meet in a pixel it takes the
// mean of the most even one, so that areas become flat and edges stay sharp.

#include "plugins/box_mean.hpp"

#include <qtforge/plugin.hpp>

#include <limits>
#include <numeric>

namespace {

using image_filter::Size;

class Paint : public qtforge::Implements<Paint, image_filter::Filter> {
 public:
  qtforge::expected<qtforge::BinaryMessage> apply(qtforge::BinaryMessage image, double amount) const {
    const auto size = image_filter::sizeOf(image);
    if (!size) return size.error();
    const auto radius = image_filter::radiusOf(amount, *size, 1.0 / 160);
    if (!radius) return radius.error();

    std::vector<float> colours(image.data.begin(), image.data.end());
    const auto uneven = variances(colours, *size, *radius);
    image_filter::boxMean(colours, *size, *radius);
    image.data = image_filter::toBytes(mostEven(colours, uneven, *size, *radius));
    return image;
  }

  std::string title() const { return "Oil painting"; }

  static constexpr auto methods() { return std::tuple(bind<"apply">(&Paint::apply), bind<"title">(&Paint::title)); }

 private:
  /// How much the brightness varies in the square around each pixel.
  static std::vector<float> variances(const std::vector<float>& colours, const Size& size, std::size_t radius) {
    std::vector<float> means(size.pixels()), variances(size.pixels());
    for (std::size_t i = 0; i < size.pixels(); ++i) {
      const auto* pixel = colours.data() + i * size.channels;
      means[i] = std::accumulate(pixel, pixel + size.channels, 0.0f) / static_cast<float>(size.channels);
      variances[i] = means[i] * means[i];
    }
    const Size plane{size.height, size.width, 1};
    image_filter::boxMean(means, plane, radius);
    image_filter::boxMean(variances, plane, radius);
    for (std::size_t i = 0; i < size.pixels(); ++i) variances[i] -= means[i] * means[i];
    return variances;
  }

  /// Of each pixel the mean of that square which varies least, of the four whose corner it is: their centres are
  /// `radius` rows above or below it and `radius` columns to its left or right.
  static std::vector<float> mostEven(const std::vector<float>& means, const std::vector<float>& variances,
                                     const Size& size, std::size_t radius) {
    std::vector<float> made;
    made.reserve(means.size());
    for (std::size_t y = 0; y < size.height; ++y) {
      const std::size_t rows[] = {y - std::min(y, radius), std::min(y + radius, size.height - 1)};
      for (std::size_t x = 0; x < size.width; ++x) {
        const std::size_t columns[] = {x - std::min(x, radius), std::min(x + radius, size.width - 1)};
        std::size_t best = 0;
        float least = std::numeric_limits<float>::infinity();
        for (const auto row : rows) {
          for (const auto column : columns) {
            const auto centre = row * size.width + column;
            if (variances[centre] >= least) continue;
            least = variances[centre];
            best = centre;
          }
        }
        const auto* mean = means.data() + best * size.channels;
        made.insert(made.end(), mean, mean + size.channels);
      }
    }
    return made;
  }
};

}  // namespace

QTFORGE_PLUGIN(Paint);
