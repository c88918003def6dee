// error: method_with_another_signature.cpp:
// error: "apply"
// error gcc: BinaryMessage(qtforge::
// error clang: BinaryMessage (qtforge::
// error: BinaryMessage (Blur::*)(
// error: , int)
#include "filter.hpp"

class Blur : public qtforge::Implements<Blur, Filter> {
 public:
  BinaryMessage apply(BinaryMessage image, int) { return image; }
  std::string title() const { return "blur"; }
  static constexpr auto methods() { return std::tuple(bind<"apply">(&Blur::apply), bind<"title">(&Blur::title)); }
};

QTFORGE_PLUGIN(Blur);
