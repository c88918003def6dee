// error: method_of_no_interface.cpp:
// error: "titel"
#include "filter.hpp"

class Blur : public qtforge::Implements<Blur, Filter> {
 public:
  BinaryMessage apply(BinaryMessage image, double) { return image; }
  std::string title() const { return "blur"; }
  static constexpr auto methods() {
    return std::tuple(bind<"apply">(&Blur::apply), bind<"title">(&Blur::title), bind<"titel">(&Blur::title));
  }
};

QTFORGE_PLUGIN(Blur);
