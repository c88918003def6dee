// error clang: method_that_is_not_bound.cpp:
// error: MethodNotBound
// error: "title"
#include "filter.hpp"

class Blur : public qtforge::Implements<Blur, Filter> {
 public:
  BinaryMessage apply(BinaryMessage image, double) { return image; }
  static constexpr auto methods() { return std::tuple(bind<"apply">(&Blur::apply)); }
};

QTFORGE_PLUGIN(Blur);
